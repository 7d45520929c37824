"""The session against a model of a correct server, through any mix of traffic, losses and time.

Whatever happens on the way: no order fault is seen in what a correct server sends, each message is shown
once, a delivered one is in the log once, and when quiet returns nothing is missing or left open. What is
shown of an answer being written is a beginning of it, whatever pieces are lost or doubled.
"""

import json
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatctl.client.events import Chunk, Event, Failed, Message, Unreadable, Welcomed
from chatctl.client.outgoing import Outgoing, Status
from chatctl.client.session import Session
from server.protocol import ErrorCode, MessageType

USER = "u"
MAX_REPLAY = 4
ACK_TIMEOUT = 10.0
ANSWER = "H\U0001f600\U0001f600llo aaaa aaaa w\u00f6rld"


class Server:
    """Keeps one conversation's log and talks to one connection, as the protocol says."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.epoch = 1
        self.to_client: list[str] = []
        self.connected = False
        self.refuse_with: ErrorCode | None = None
        self.writing: dict[str, int] = {}  # answers by message_id: how much of each there is
        self.aborted: list[str] = []  # which may begin again

    def save(self, message_id: str, data: str, sender: str) -> tuple[int, bool]:
        for saved in self.log:
            if saved["message_id"] == message_id:
                return saved["seq"], True
        seq = len(self.log) + 1
        frame = {"type": "CHAT_MESSAGE", "message_id": message_id, "data": data, "sender": sender, "seq": seq}
        self.log.append(frame)
        self._push(frame)
        return seq, False

    def handle(self, payload: str) -> None:
        frame = json.loads(payload)
        if frame["type"] == MessageType.CANCEL_RESPONSE:
            self.cancel(frame["message_id"], frame["data"].get("message_id"))
            return
        answer = {"message_id": frame["message_id"], "data": "text"}
        saved = any(each["message_id"] == frame["message_id"] for each in self.log)
        if self.refuse_with and not saved:
            error = {"code": self.refuse_with, "retryable": self.refuse_with.retryable}
            self._push({"type": "NACK", "error": error, **answer})
            return
        seq, duplicate = self.save(frame["message_id"], frame["data"], USER)
        self._push({"type": "ACK", "seq": seq, **answer} | ({"duplicate": True} if duplicate else {}))

    def welcome(self, last_seq: int | None, epoch: str | None) -> None:
        self.connected, newest = True, len(self.log)
        after = newest if last_seq is None else last_seq
        is_replaced = last_seq is not None and (epoch != f"e{self.epoch}" or last_seq > newest)
        missed = self.log[0 if is_replaced else after :]
        has_gap = bool(missed) if is_replaced else len(missed) > MAX_REPLAY
        gap = {"from": newest - len(missed) + 1, "to": newest} if has_gap else None
        data = {"event": "connected", "protocol": 1, "user_id": USER, "client_id": "d", "session_id": "s"}
        data |= {"connection_id": "k", "last_seq": newest, "resumed": True, "gap": gap}
        data |= {"epoch": f"e{self.epoch}"}
        data |= {"recovered": 0 if gap else len(missed), "heartbeat_interval": 1e6, "heartbeat_timeout": 2e6}
        data |= {"ack_timeout": ACK_TIMEOUT, "max_text_length": 9, "rate_limit": None, "ai": {}, "devices": 1}
        self.to_client = []
        self._push({"type": "SYSTEM", "data": data})
        for frame in [] if gap else missed:
            self._push(frame)

        for message_id, written in self.writing.items():
            if written:
                self.piece(message_id, text=ANSWER[:written], offset=0, index=written)

    def write(self, message_id: str, count: int, times: int) -> None:
        offset = self.writing[message_id]
        text = ANSWER[offset : offset + count]
        self.writing[message_id] += len(text)
        for _ in range(times if text else 0):
            self.piece(message_id, text=text, offset=offset, index=offset)

    def finish(self, message_id: str, **finish: str) -> None:
        """Saves the answer, or not if there is nothing of it. A piece of it comes late."""
        written = self.writing.pop(message_id)
        if not written:
            self.piece(message_id, aborted=True)
            return
        frame = {"type": "AI_RESPONSE", "message_id": message_id, "data": ANSWER[:written], "sender": "ai"}
        self.log.append(frame | finish | {"seq": len(self.log) + 1})
        self._push(self.log[-1])
        self.piece(message_id, text=ANSWER[:written], offset=0, index=0)

    def abort(self, message_id: str) -> None:
        del self.writing[message_id]
        self.aborted.append(message_id)
        self.piece(message_id, aborted=True)

    def cancel(self, message_id: str, response_id: str | None) -> None:
        stopped = [each for each in self.writing if response_id in (None, each)]
        for each in stopped:
            self.finish(each, finish="cancelled")
        if stopped:
            self._push({"type": "ACK", "message_id": message_id, "data": "text"})
        else:
            error = {"code": ErrorCode.VALIDATION_FAILED, "retryable": False}
            self._push({"type": "NACK", "message_id": message_id, "data": "text", "error": error})

    def piece(self, message_id: str, **data: Any) -> None:
        self._push({"type": "AI_RESPONSE_CHUNK", "message_id": message_id, "sender": "ai", "data": data})

    def restore(self, length: int) -> list[dict[str, Any]]:
        """An old backup takes the log's place; what is not in it."""
        self.epoch += 1
        gone, self.log = self.log[length:], self.log[:length]
        return gone

    def lose(self) -> None:
        self.connected, self.to_client = False, []

    def _push(self, frame: dict[str, Any]) -> None:
        if self.connected:
            self.to_client.append(json.dumps(frame))


class ClientAndServer(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server()
        self.session = Session(USER, "c", client_id="d")
        self.to_server: list[str] = []
        self.now = 0.0
        self.ids = 0
        self.shown: list[int] = []
        self.sent: list[Outgoing] = []
        self.failed: list[Outgoing] = []
        self.begun_at: int | None = None
        self.gone: set[str] = set()  # that a restored backup did not have
        self.unfinished: dict[str, str] = {}  # answers that are shown as being written
        self.shown_whole: set[str] = set()

    # -- what may happen, in any order ---------------------------------------------------------------

    @rule()
    def client_sends(self) -> None:
        self.sent.append(self.session.send(self._new_id(), "text", self.now))
        self._flush()

    @rule()
    def another_device_sends(self) -> None:
        self.server.save(self._new_id(), "text", USER)

    @precondition(lambda self: not self.server.connected)
    @rule()
    def client_connects(self) -> None:
        self.session.start_connection("ws://host", self.now)
        if self.session.last_seq is None:
            self.begun_at = len(self.server.log)
        self.server.welcome(self.session.last_seq, self.session.epoch)

    @precondition(lambda self: self.server.connected)
    @rule()
    def connection_is_lost(self) -> None:
        self.server.lose()
        self.to_server.clear()
        self._see(self.session.disconnected(1006, "", fraction=0.5))

    @precondition(lambda self: self.server.connected)
    @rule(data=st.data())
    def a_backup_is_restored(self, data: st.DataObject) -> None:
        length = data.draw(st.integers(0, len(self.server.log)))
        self.gone |= {frame["message_id"] for frame in self.server.restore(length)}
        self.connection_is_lost()

    @precondition(lambda self: self.server.to_client)
    @rule(count=st.integers(1, 5))
    def frames_arrive_at_the_client(self, count: int) -> None:
        for _ in range(min(count, len(self.server.to_client))):
            self._see(self.session.receive(self.server.to_client.pop(0), self.now))
            self._flush()

    @precondition(lambda self: self.to_server)
    @rule()
    def a_frame_arrives_at_the_server(self) -> None:
        self.server.handle(self.to_server.pop(0))

    @precondition(lambda self: self.to_server)
    @rule()
    def a_frame_vanishes_in_a_faulty_proxy(self) -> None:
        self.to_server.pop(0)

    @rule(seconds=st.sampled_from([1.0, 6.0, 11.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self._see(self.session.tick(self.now))
        self._flush()

    @rule(code=st.sampled_from([None, ErrorCode.RATE_LIMITED, ErrorCode.OUTCOME_UNKNOWN]))
    def the_server_changes_its_mood(self, code: ErrorCode | None) -> None:
        self.server.refuse_with = code

    @rule()
    def the_history_is_read(self) -> None:
        for first, last in self.session.missing:
            self._see(self.session.history(self.server.log[first - 1 : last]))

    @precondition(lambda self: self.failed)
    @rule()
    def the_user_retries(self) -> None:
        message = self.failed.pop()
        if message.status is Status.FAILED and message.message_id not in self.session.in_flight:
            self.sent.append(self.session.retry(message, self._new_id(), self.now))
            self._flush()

    @rule(pieces=st.lists(st.tuples(st.integers(1, 4), st.sampled_from([1, 1, 0, 2])), max_size=5))
    def an_answer_begins(self, pieces: list[tuple[int, int]]) -> None:
        message_id = self.server.aborted.pop() if self.server.aborted else self._new_id()
        self.server.writing[message_id] = 0
        self.answers_grow(pieces)

    @rule(pieces=st.lists(st.tuples(st.integers(1, 4), st.sampled_from([1, 1, 0, 2])), max_size=5))
    def answers_grow(self, pieces: list[tuple[int, int]]) -> None:
        """Pieces of so many characters come once, as they should, or are lost or doubled."""
        for count, times in pieces:
            for message_id in self.server.writing:
                self.server.write(message_id, count, times)

    @precondition(lambda self: self.server.writing)
    @rule()
    def an_answer_ends(self) -> None:
        self.server.finish(next(iter(self.server.writing)))

    @precondition(lambda self: self.server.writing)
    @rule()
    def an_answer_is_aborted(self) -> None:
        self.server.abort(next(iter(self.server.writing)))

    @precondition(lambda self: self.server.connected)
    @rule()
    def what_is_written_dies_with_its_process(self) -> None:
        self.server.writing.clear()
        self.connection_is_lost()

    @rule(any_answer=st.booleans())
    def the_user_cancels(self, any_answer: bool) -> None:
        response_id = None if any_answer else next(iter(self.unfinished), None)
        self.session.cancel_response(self._new_id(), response_id, self.now)
        self._flush()

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def nothing_is_shown_twice(self) -> None:
        assert max(Counter(self.shown).values(), default=1) == 1

    @invariant()
    def delivered_means_saved_once(self) -> None:
        saved = Counter(frame["message_id"] for frame in self.server.log)
        for message in self.sent:
            is_saved = saved[message.message_id] == 1 or message.message_id in self.gone
            assert message.status is not Status.DELIVERED or is_saved

    @invariant()
    def last_seq_never_passes_over_what_was_not_shown(self) -> None:
        if self.begun_at is not None and self.session.last_seq is not None:
            seen = set(self.shown)
            assert all(seq in seen for seq in range(self.begun_at + 1, self.session.last_seq + 1))

    def teardown(self) -> None:
        """Quiet returns: reconnect, let everything through, read the history."""
        self.server.refuse_with = None
        self._let_everything_through()
        self.connection_is_lost()
        self._let_everything_through()
        written = {key: ANSWER[:length] for key, length in self.server.writing.items() if length}
        assert self.unfinished == written
        for message_id in list(self.server.writing):
            self.server.finish(message_id)
        self._let_everything_through()
        assert not self.unfinished
        assert self.begun_at is not None
        assert sorted(self.shown) == list(range(self.begun_at + 1, len(self.server.log) + 1))
        assert not self.session.in_flight
        saved = {frame["message_id"] for frame in self.server.log}
        last_try = {message.message_id: message for message in self.sent}
        for message_id in last_try.keys() - self.gone:
            message = last_try[message_id]
            assert (message_id in saved) == (message.status is Status.DELIVERED)

    def _let_everything_through(self) -> None:
        if not self.server.connected:
            self.client_connects()
        for _ in range(3):
            while self.server.to_client or self.to_server:
                self.frames_arrive_at_the_client(1) if self.server.to_client else None
                self.a_frame_arrives_at_the_server() if self.to_server else None
            self.time_passes(ACK_TIMEOUT)
        self.the_history_is_read()

    # -- helpers -------------------------------------------------------------------------------------

    def _new_id(self) -> str:
        self.ids += 1
        return f"m{self.ids}"

    def _flush(self) -> None:
        frames = self.session.frames_to_send()
        if self.server.connected:
            self.to_server += frames

    def _see(self, events: list[Event]) -> None:
        for event in events:
            assert not isinstance(event, Unreadable)
            if isinstance(event, Welcomed):
                self._see_welcome(event)
            elif isinstance(event, Message):
                self._see_message(event)
            elif isinstance(event, Chunk):
                self._see_chunk(event)
            elif isinstance(event, Failed) and event.message.type is MessageType.CHAT_MESSAGE:
                self.failed.append(event.message)

    def _see_welcome(self, event: Welcomed) -> None:
        self.unfinished.clear()
        if event.replaced:
            self.shown, self.begun_at = [], 0  # all of it is news

    def _see_message(self, event: Message) -> None:
        assert event.fault is None
        if event.new:
            self.shown.append(event.seq)
            self.shown_whole.add(event.message_id)
            self.unfinished.pop(event.message_id, None)

    def _see_chunk(self, event: Chunk) -> None:
        before = self.unfinished.pop(event.message_id, "")
        if event.aborted:
            return
        assert event.message_id not in self.shown_whole
        assert ANSWER.startswith(event.so_far)
        assert before + event.text == event.so_far
        assert event.text
        self.unfinished[event.message_id] = event.so_far


ClientAndServer.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestClientAndServer = ClientAndServer.TestCase
