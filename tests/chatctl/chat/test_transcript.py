"""What a person sees, event by event. The session in between is the real one."""

import json
from typing import Any

import pytest

from chatctl.chat.transcript import Kind, Line, Transcript
from chatctl.client.events import Ended, Missing, Reconnecting
from chatctl.client.outgoing import Outgoing, Status
from chatctl.client.session import Session
from server.protocol import ErrorCode
from tests.support.frames import ack, chat, frame, nack, welcome


class Chat:
    """A session whose events go to a transcript; `lines` are the final ones."""

    def __init__(self) -> None:
        self.transcript = Transcript("u")
        self.session = Session("u", "c", client_id="d")
        self.lines: list[Line] = []
        self.session.start_connection("ws://host", 0.0)
        self.hear(welcome(ai={"id": "ai_alex", "name": "Alex", "status": "online"}))

    def hear(self, *payloads: str) -> None:
        for payload in payloads:
            for event in self.session.receive(payload, 1.0):
                self.lines += self.transcript.apply(event, 1.0)

    def say(self, message_id: str, text: str) -> Outgoing:
        message = self.session.send(message_id, text, 1.0)
        self.transcript.sent(message)
        return message

    @property
    def texts(self) -> list[tuple[str, str]]:
        return [(line.who, line.text) for line in self.lines if line.kind in (Kind.OWN, Kind.OTHER)]

    @property
    def open(self) -> list[tuple[str, Status | None]]:
        return [(line.text, line.status) for line in self.transcript.open_lines()]

    @property
    def notes(self) -> list[str]:
        return [line.text for line in self.lines if line.kind is Kind.NOTE]


def from_ai(seq: int, text: str, **fields: Any) -> str:
    return frame("AI_RESPONSE", message_id=f"r{seq}", seq=seq, data=text, sender="ai_alex", **fields)


def test_an_own_message_is_open_until_it_is_saved_and_then_stands_among_the_others() -> None:
    it = Chat()
    it.say("m", "hello")
    before = it.open
    it.hear(chat(1, "other"), chat(2, "m"), ack("m", 2))

    assert before == [("hello", Status.SENDING)]
    assert it.open == []
    assert it.texts == [("you, elsewhere", "text"), ("you", "text")]
    assert it.lines[-1].status is Status.DELIVERED


def test_a_failed_message_stays_open_with_its_reason_until_it_is_retried() -> None:
    it = Chat()
    message = it.say("m", "hello")
    it.hear(nack("m", ErrorCode.RATE_LIMITED, 1.0))

    (line,) = it.transcript.open_lines()
    assert (line.status, line.reason) == (Status.FAILED, "no (/retry sends it again)")
    assert it.transcript.take_failed() == [message]
    assert it.open == []


def test_a_message_that_no_retry_can_help_is_final() -> None:
    it = Chat()
    it.say("m", "hello")
    it.hear(nack("m", ErrorCode.MESSAGE_TOO_LONG))

    assert it.open == []
    assert it.lines == [Line(Kind.OWN, "hello", "you", "", Status.FAILED, "no")]


def test_the_ai_has_its_name() -> None:
    it = Chat()
    it.hear(from_ai(1, "Hi!"))

    assert it.texts == [("Alex", "Hi!")]
    assert it.transcript.ai_status == "Alex is online"


def test_an_answer_being_written_grows_below_the_lines_until_it_is_whole() -> None:
    it = Chat()
    for index, text in enumerate(["Hel", "lo"]):
        it.hear(
            frame("AI_RESPONSE_CHUNK", message_id="r1", sender="ai_alex", data={"text": text, "index": index})
        )
    growing, may_be_stopped = it.open, it.transcript.may_be_stopped
    it.hear(from_ai(1, "Hello"))

    assert growing == [("Hello▌", None)]
    assert (may_be_stopped, it.transcript.may_be_stopped) == (True, False)
    assert it.open == []
    assert it.texts == [("Alex", "Hello")]


def test_an_aborted_answer_disappears() -> None:
    it = Chat()
    it.hear(frame("AI_RESPONSE_CHUNK", message_id="r1", sender="ai_alex", data={"text": "Hel", "index": 0}))
    it.hear(frame("AI_RESPONSE_CHUNK", message_id="r1", sender="ai_alex", data={"aborted": True}))

    assert it.open == []


@pytest.mark.parametrize(
    ("finish", "words"),
    [
        ("cancelled", "(stopped)"),
        ("length", "(cut off at the model's limit)"),
        ("content_filter", "(cut off by the provider's filter)"),
        ("incomplete", "(broken off)"),
        ("of_a_later_server", "(of_a_later_server)"),
    ],
)
def test_why_an_answer_is_not_whole_stands_behind_it_live_and_later(finish: str, words: str) -> None:
    it = Chat()
    it.hear(from_ai(1, "Hel", finish=finish))
    recalled = Transcript("u").recall([json.loads(from_ai(1, "Hel", finish=finish))])

    assert [line.finish for line in [*it.lines, *recalled] if line.kind is Kind.OTHER] == [words, words]


def test_an_answer_can_be_stopped_from_the_message_on_until_it_is_there() -> None:
    it, states = Chat(), []
    for payload in (
        frame("TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True}),
        frame("TYPING_INDICATOR", sender="ai_alex", data={"is_typing": False}),
        chat(1),
        from_ai(2, "Hi!"),
    ):
        it.hear(payload)
        states.append(it.transcript.may_be_stopped)
    assert states == [True, False, True, False]


def test_the_newest_answer_that_was_shown_is_known() -> None:
    it = Chat()
    it.hear(from_ai(1, "Hi!"), chat(2), from_ai(3, "Hello?"), chat(4))
    assert it.transcript.newest_of_ai == 3


def test_who_types_is_shown_until_they_stop_or_speak() -> None:
    it = Chat()
    typing = frame("TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True})
    it.hear(typing)
    while_typing = it.transcript.typists
    it.hear(frame("TYPING_INDICATOR", sender="ai_alex", data={"is_typing": False}))
    after_stop = it.transcript.typists
    it.hear(typing, from_ai(1, "Hi!"))

    assert (while_typing, after_stop, it.transcript.typists) == (["Alex"], [], [])


def test_the_ai_has_seen_what_it_has_read_up_to_the_newest_own_message() -> None:
    it = Chat()
    it.hear(chat(1), chat(2))
    seen = []
    for seq in (1, 2):
        it.hear(frame("READ_RECEIPT", sender="ai_alex", data={"message_id": f"m{seq}", "seq": seq}))
        seen.append(it.transcript.seen_by_ai)
    it.hear(chat(3))

    assert [*seen, it.transcript.seen_by_ai] == [False, True, False]


def test_the_connection_is_told_with_the_time_of_the_next_attempt() -> None:
    it = Chat()
    states = [(it.transcript.connection.state, it.transcript.connection.devices)]
    it.transcript.apply(Reconnecting(3.0, 1, 1006, "refused"), now=10.0)

    assert states == [("open", 1)]
    assert (it.transcript.connection.state, it.transcript.connection.retry_at) == ("reconnecting", 13.0)

    it.transcript.apply(Ended(4500, "replaced"), now=11.0)

    assert (it.transcript.connection.state, it.transcript.connection.reason) == ("closed", "replaced")


def test_what_happens_beside_the_messages_is_noted() -> None:
    it = Chat()
    it.hear(
        frame("SYSTEM", data={"event": "devices", "devices": 3}),
        frame("SYSTEM", data={"event": "announcement", "text": "Maintenance at 9"}),
        frame("SYSTEM", data={"event": "disclosure", "text": "This is an AI"}),
        frame("SYSTEM", data={"event": "no_answer", "text": "No answer", "retry_in": 7.6}),
        frame("SYSTEM", data={"event": "no_answer", "text": "No answer", "retry_in": None}),
        frame("NEW_MATCH", data={"ai": {"id": "ai_eve", "name": "Eve"}, "conversation_id": "c2"}),
        frame("AI_STATUS", data={"ai_id": "ai_alex", "status": "away"}),
        frame("NEW_MATCH", data="nonsense"),
    )
    it.lines += it.transcript.apply(Missing(2, 5), now=1.0)

    assert it.notes == [
        "announcement: Maintenance at 9",
        "This is an AI",
        "No answer; the next try is in 8 s",
        "No answer",
        "new match: Eve in c2",
        "new match: someone in None",
        "messages 2 to 5 could not be read",
    ]
    assert it.transcript.connection.devices == 3
    assert it.transcript.ai_status == "Alex is away"


def test_each_day_is_announced_once() -> None:
    days = ["2026-11-22T12:00:00Z", "2026-11-22T12:01:00Z", "2026-11-23T12:00:00Z", "nonsense"]
    frames = [json.loads(chat(seq)) | {"timestamp": at} for seq, at in enumerate(days, start=1)]

    lines = Transcript("u").recall(frames)

    assert [line.text for line in lines if line.kind is Kind.DAY] == [
        "Sunday, 22 November 2026",
        "Monday, 23 November 2026",
    ]
    assert [line.who for line in lines if line.kind is Kind.OWN] == ["you"] * 4
