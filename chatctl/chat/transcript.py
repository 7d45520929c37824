"""What a person sees of a conversation: final lines, in order, and below them what is still open.

Pure: fed with the client's events, it decides what is shown and knows no terminal.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from chatctl.client.events import (
    Chunk,
    Ended,
    Event,
    Failed,
    Frame,
    Message,
    Missing,
    Notice,
    Read,
    Reconnecting,
    Typing,
    Welcomed,
)
from chatctl.client.outgoing import Failure, Outgoing, Status
from chatctl.finish import finish_in_words
from server.protocol import MessageType, Welcome


class Kind(StrEnum):
    """Whose message it is, or that it is none."""

    OWN = "own"
    OTHER = "other"
    NOTE = "note"
    DAY = "day"


@dataclass(frozen=True, slots=True)
class Line:
    """One message or note. All texts are as they came: whoever shows them makes them harmless."""

    kind: Kind
    text: str
    who: str = ""
    time: str = ""
    status: Status | None = None
    reason: str = ""  # why it failed
    finish: str = ""  # why an answer is not whole, in words


@dataclass(slots=True)
class Connection:
    """`retry_at` is on the clock of the events' caller, None where no attempt is planned."""

    state: str = "connecting"
    reason: str = ""
    retry_at: float | None = None
    devices: int = 0


class Transcript:
    """`sent` is told of what this device sends, `apply` of all that the client reports."""

    def __init__(self, user_id: str) -> None:
        self.connection = Connection()
        self.seen_by_ai = False
        self._user_id = user_id
        self._ai: dict[str, Any] = {}
        self._open: dict[str, Outgoing] = {}  # sent from here, not yet among the lines
        self._streams: dict[str, tuple[str, str]] = {}  # message_id -> (sender, text so far)
        self._typing: set[str] = set()
        self._day = ""
        self._newest_own = 0
        self.newest_of_ai = 0  # the seq of the newest answer among the lines

    # -- what happened -------------------------------------------------------------------------------

    def welcome(self, welcome: Welcome) -> None:
        self._ai = welcome.ai
        self._streams.clear()
        self.connection = Connection("open", devices=welcome.devices)

    def sent(self, message: Outgoing) -> None:
        self._open[message.message_id] = message

    def recall(self, frames: Iterable[Frame]) -> list[Line]:
        """Lines of earlier messages, which are frames of the history."""
        return [line for frame in frames for line in self._message(frame, live=False)]

    def apply(self, event: Event, now: float) -> list[Line]:
        """The lines that are now final."""
        match event:
            case Message(new=True):
                self._streams.pop(event.message_id, None)
                return self._message(event.frame, live=True)
            case Welcomed():
                self.welcome(event.welcome)
                return [_note("the conversation has been started anew")] if event.replaced else []
            case Notice():
                return self._notice(event)
            case Missing():
                return [_note(f"messages {event.first} to {event.last} could not be read")]
            case Failed(message=message) if message.failure:
                return self._failed(message, message.failure)
        self._change(event, now)
        return []

    def _change(self, event: Event, now: float) -> None:
        """What changes only that which is open."""
        match event:
            case Reconnecting():
                self.connection = Connection("reconnecting", event.reason, now + event.delay)
                self._typing.clear()
            case Ended():
                self.connection = Connection("closed", event.reason)
            case Chunk():
                self._chunk(event)
            case Typing():
                (self._typing.add if event.is_typing else self._typing.discard)(event.sender)
            case Read() if event.sender != self._user_id:
                self.seen_by_ai |= event.seq >= self._newest_own

    def _message(self, frame: Frame, live: bool) -> list[Line]:
        sender, message_id = str(frame.get("sender")), frame.get("message_id")
        self._typing.discard(sender)
        own = self._open.pop(str(message_id), None)
        if sender == self._user_id:
            self._newest_own, self.seen_by_ai = int(frame["seq"]), False
        else:
            self.newest_of_ai = max(self.newest_of_ai, int(frame["seq"]))
        kind = Kind.OWN if sender == self._user_id else Kind.OTHER
        status = Status.DELIVERED if kind is Kind.OWN else None
        elsewhere = live and own is None and kind is Kind.OWN
        who = "you, elsewhere" if elsewhere else self._name(sender)
        day, time = _day_and_time(frame.get("timestamp"))
        finish = finish_in_words(frame.get("finish"))
        line = Line(kind, str(frame.get("data")), who, time, status, finish=finish)
        if day in (self._day, ""):
            return [line]
        self._day = day
        return [Line(Kind.DAY, day), line]

    def _failed(self, message: Outgoing, failure: Failure) -> list[Line]:
        """Where a retry is of no use there is nothing open any more."""
        if message.type is MessageType.CANCEL_RESPONSE:
            return [_note(f"could not stop the answer: {failure.text}")]
        if failure.retryable or self._open.pop(message.message_id, None) is None:
            return []
        return [_own(message)]

    def _chunk(self, event: Chunk) -> None:
        if event.aborted:
            self._streams.pop(event.message_id, None)
        else:
            self._streams[event.message_id] = (str(event.frame.get("sender")), event.so_far)

    def _notice(self, event: Notice) -> list[Line]:
        data = event.data if isinstance(event.data, dict) else {}
        match event.type, data.get("event"):
            case "SYSTEM", "devices":
                self.connection.devices = data.get("devices", 0)
            case "SYSTEM", "announcement":
                return [_note(f"announcement: {data.get('text')}")]
            case "SYSTEM", "disclosure":
                return [_note(str(data.get("text")))]
            case "SYSTEM", "no_answer":
                return [_note(_no_answer(data))]
            case "SYSTEM", "shutdown":
                return [_note("the server is restarting")]
            case "NEW_MATCH", _:
                return [_note(f"new match: {_named(data.get('ai'))} in {data.get('conversation_id')}")]
            case "AI_STATUS", _:
                self._ai = self._ai | {"status": data.get("status")}
            case "ERROR", _:
                return [_note(f"the server says: {event.data}")]
        return []

    # -- what is open --------------------------------------------------------------------------------

    def open_lines(self) -> list[Line]:
        """Own messages under way or failed, then answers being written."""
        own = [_own(message) for message in self._open.values()]
        written = [
            Line(Kind.OTHER, text + "▌", self._name(sender)) for sender, text in self._streams.values()
        ]
        return own + written

    @property
    def typists(self) -> list[str]:
        return sorted(map(self._name, self._typing))

    @property
    def ai_status(self) -> str:
        """Such as `Alex is online`; empty where it is not known."""
        return f"{_named(self._ai)} is {self._ai['status']}" if self._ai.get("status") else ""

    @property
    def may_be_stopped(self) -> bool:
        """Whether an answer is being written, or may be prepared: from a message on until its answer."""
        return bool(self._streams or self._typing) or self._newest_own > self.newest_of_ai

    @property
    def under_way(self) -> list[Outgoing]:
        return [message for message in self._open.values() if message.status is Status.SENDING]

    def take_failed(self) -> list[Outgoing]:
        """The failed messages, in the order of sending; they are not shown any longer."""
        failed = [message for message in self._open.values() if message.status is Status.FAILED]
        for message in failed:
            del self._open[message.message_id]
        return failed

    def _name(self, sender: str) -> str:
        if sender == self._user_id:
            return "you"
        return _named(self._ai) if sender == self._ai.get("id") else sender


def _named(ai: Any) -> str:
    return str(ai.get("name") or ai.get("id")) if isinstance(ai, dict) else "someone"


def _own(message: Outgoing) -> Line:
    failure = message.failure
    hint = " (/retry sends it again)" if failure and failure.retryable else ""
    reason = failure.text + hint if failure else ""
    return Line(Kind.OWN, str(message.data), "you", "", message.status, reason)


def _no_answer(data: dict[str, Any]) -> str:
    retry_in = data.get("retry_in")
    again = "" if retry_in is None else f"; the next try is in {float(retry_in):.0f} s"
    return f"{data.get('text')}{again}"


def _note(text: str) -> Line:
    return Line(Kind.NOTE, text)


def _day_and_time(timestamp: object) -> tuple[str, str]:
    """In the time zone of this machine."""
    try:
        at = datetime.fromisoformat(str(timestamp)).astimezone()
    except (ValueError, OverflowError):
        return "", ""
    return f"{at:%A}, {at.day} {at:%B %Y}", f"{at:%H:%M}"
