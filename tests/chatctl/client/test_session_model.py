"""The session against a model of a correct server, through any mix of traffic, losses and time.

Whatever happens on the way: no order fault is seen in what a correct server sends, each message is shown
once, a delivered one is in the log once, and when quiet returns nothing is missing or left open.
"""

import json
from collections import Counter
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatctl.client.events import Event, Failed, Message, Unreadable, Welcomed
from chatctl.client.outgoing import Outgoing, Status
from chatctl.client.session import Session
from server.protocol import ErrorCode, MessageType

USER = "u"
MAX_REPLAY = 4
ACK_TIMEOUT = 10.0


class Server:
    """Keeps one conversation's log and talks to one connection, as the protocol says."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any]] = []
        self.epoch = 1
        self.to_client: list[str] = []
        self.connected = False
        self.refuse_with: ErrorCode | None = None

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
        if frame["type"] != MessageType.CHAT_MESSAGE:
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
        if not self.server.connected:
            self.client_connects()
        for _ in range(3):
            while self.server.to_client or self.to_server:
                self.frames_arrive_at_the_client(1) if self.server.to_client else None
                self.a_frame_arrives_at_the_server() if self.to_server else None
            self.time_passes(ACK_TIMEOUT)
        self.the_history_is_read()
        assert self.begun_at is not None
        assert sorted(self.shown) == list(range(self.begun_at + 1, len(self.server.log) + 1))
        assert not self.session.in_flight
        saved = {frame["message_id"] for frame in self.server.log}
        last_try = {message.message_id: message for message in self.sent}
        for message_id in last_try.keys() - self.gone:
            message = last_try[message_id]
            assert (message_id in saved) == (message.status is Status.DELIVERED)

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
            if isinstance(event, Welcomed) and event.replaced:
                self.shown, self.begun_at = [], 0  # all of it is news
            elif isinstance(event, Message):
                assert event.fault is None
                if event.new:
                    self.shown.append(event.seq)
            elif isinstance(event, Failed):
                self.failed.append(event.message)


ClientAndServer.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestClientAndServer = ClientAndServer.TestCase
