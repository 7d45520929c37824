"""What a device says: frames to write now, frames in flight, and failed ones in doubt."""

from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

from pydantic_core import to_json

from chatctl.client.events import Delivered, Event, Failed, Frame, Message
from chatctl.client.outgoing import TIMEOUT, Failure, Outgoing, Status
from server.protocol import ErrorCode, MessageType, Welcome

_NO_ANSWER: Final = Failure(TIMEOUT, "No answer from the server in time", retryable=True)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the server takes: code points in a text, bytes in a frame. None: not known yet."""

    text: int | None = None
    frame: int | None = None

    def refusal(self, message: Outgoing) -> Failure | None:
        """Why the server would not take this message; it may even close the connection for it."""
        is_text = message.type is MessageType.CHAT_MESSAGE
        if is_text and self.text is not None and len(message.data) > self.text:
            return _too_long(f"The text has {len(message.data)} characters, at most {self.text}")
        size = len(message.payload.encode())
        if self.frame is not None and size > self.frame:
            return _too_long(f"The frame has {size} bytes, at most {self.frame}")
        return None


def _too_long(text: str) -> Failure:
    return Failure(ErrorCode.MESSAGE_TOO_LONG, text, retryable=False)


class Outbox:
    """Writes only while a connection is open; what is in flight waits for the next one.

    `ack_timeout` is in seconds. All failures but those of `nacked` and `give_up` come out of `tick`.
    """

    def __init__(self, ack_timeout: float) -> None:
        self.ack_timeout = ack_timeout
        self.in_flight: dict[str, Outgoing] = {}  # in the order of their deadlines
        self._in_doubt: dict[str, Outgoing] = {}
        self._refused: dict[str, tuple[Outgoing, Failure]] = {}  # by this side, not told yet
        self._bounds = Bounds()
        self._is_open = False
        self._to_write: list[str] = []
        self._numbers = 0

    # -- the connection ------------------------------------------------------------------------------

    def open(self, welcome: Welcome, log_replaced: bool, now: float) -> None:
        """Sends what is in flight again, in the order in which it was first sent."""
        self._is_open = True
        self._bounds = Bounds(welcome.max_text_length, welcome.max_frame_bytes)
        for message in sorted(self.in_flight.values(), key=lambda message: message.number):
            if log_replaced:
                message.saved_as = None  # what was seen in the old log proves nothing any more
            self._launch(message, now)

    def close(self) -> None:
        """What was not written yet is not written; what is in flight stays so."""
        self._is_open = False
        self._to_write.clear()

    def write(self, frame: Frame) -> None:
        """Writes a frame that nobody answers; dropped while there is no connection."""
        if self._is_open:
            self._to_write.append(encode(frame))

    def take_frames(self) -> list[str]:
        frames, self._to_write = self._to_write, []
        return frames

    # -- sending -------------------------------------------------------------------------------------

    def send(
        self, type_: MessageType, message_id: str, data: Any, now: float, timestamp: str | None
    ) -> Outgoing:
        """Puts a frame in flight. Raises ValueError if its id is in flight, or a text cannot be encoded."""
        if message_id in self.in_flight or message_id in self._refused:
            raise ValueError(f"message_id {message_id} is in flight already")
        frame: Frame = {"type": type_.value, "message_id": message_id, "data": data}
        if timestamp is not None:
            frame["timestamp"] = timestamp
        self._numbers += 1
        message = Outgoing(message_id, type_, data, encode(frame), self._numbers, timestamp)
        self._launch(message, now)
        return message

    def retry(self, message: Outgoing, new_id: str, now: float) -> Outgoing:
        """Sends a failed message again: under `new_id`, but where it may have been saved under its own."""
        if message.failure is None:
            raise ValueError(f"message {message.message_id} has not failed")
        same_id = message.outcome_open and message.failure.retryable
        self.discard(message)
        message_id = message.message_id if same_id else new_id
        again = self.send(message.type, message_id, message.data, now, message.timestamp)
        if same_id:
            again.transmissions += message.transmissions
            again.nacks = message.nacks
        return again

    def discard(self, message: Outgoing) -> None:
        """Forgets a failed message."""
        if self._in_doubt.get(message.message_id) is message:
            self._forget(message.message_id)

    def _launch(self, message: Outgoing, now: float) -> None:
        self._forget(message.message_id)
        refusal = self._bounds.refusal(message)
        if refusal is not None:
            message.deadline = now
            self._refused[message.message_id] = message, refusal
            return
        message.deadline = now + self.ack_timeout
        self.in_flight[message.message_id] = message
        if self._is_open:
            message.transmissions += 1
            self._to_write.append(message.payload)

    # -- what becomes of it --------------------------------------------------------------------------

    def acked(self, frame: Frame) -> Delivered | None:
        """Takes an ACK; None if nothing waits for it."""
        message = self._awaiting(frame["message_id"])
        if message is None:
            return None
        return self._deliver(message, frame.get("seq"), frame.get("duplicate", False), frame)

    def nacked(self, frame: Frame) -> Delivered | Failed | None:
        """Takes a NACK; None if nothing waits for it. Raises KeyError or TypeError for what is none."""
        error = frame["error"]
        failure = Failure(error["code"], str(frame.get("data")), error["retryable"], error.get("retry_after"))
        message = self._awaiting(frame["message_id"])
        if message is None:
            return None
        message.nacks += 1
        return self._fail(message, failure)

    def seen(self, saved: Message) -> Delivered | None:
        """This user's message stands in the log: proof of its save, should the ACK be lost."""
        message = self._awaiting(saved.message_id)
        if message is None:
            return None
        message.saved_as = saved.seq
        return self._deliver_unanswered(message) if message.failure else None

    def give_up(self, failure: Failure) -> list[Event]:
        """Fails everything that is not answered."""
        events = self._tell_refused()
        in_order = sorted(self.in_flight.values(), key=lambda message: message.number)
        return events + [self._fail(message, failure) for message in in_order]

    def next_deadline(self) -> float | None:
        """When `tick` has something to do."""
        if self._refused:
            return next(message.deadline for message, _ in self._refused.values())
        return next((message.deadline for message in self.in_flight.values()), None)

    def tick(self, now: float) -> list[Event]:
        """Sends again, once, what is overdue; fails what is so a second time, or was refused."""
        events = self._tell_refused()
        for message in list(takewhile(lambda message: message.deadline <= now, self.in_flight.values())):
            if message.resent:
                events.append(self._fail(message, _NO_ANSWER))
            else:
                message.resent = True
                self._launch(message, now)
        return events

    def _tell_refused(self) -> list[Event]:
        refused, self._refused = self._refused, {}
        return [self._fail(message, failure) for message, failure in refused.values()]

    def _awaiting(self, message_id: str) -> Outgoing | None:
        return self.in_flight.get(message_id) or self._in_doubt.get(message_id)

    def _deliver_unanswered(self, message: Outgoing) -> Delivered:
        return self._deliver(message, message.saved_as, duplicate=False, ack=None)

    def _deliver(self, message: Outgoing, seq: int | None, duplicate: bool, ack: Frame | None) -> Delivered:
        self._forget(message.message_id)
        message.status, message.failure = Status.DELIVERED, None
        return Delivered(message, seq, duplicate, ack)

    def _fail(self, message: Outgoing, failure: Failure) -> Delivered | Failed:
        if failure.outcome_open and message.saved_as is not None:
            return self._deliver_unanswered(message)
        self._forget(message.message_id)
        message.status, message.failure = Status.FAILED, failure
        if message.outcome_open:
            self._in_doubt[message.message_id] = message
        return Failed(message)

    def _forget(self, message_id: str) -> None:
        self.in_flight.pop(message_id, None)
        self._in_doubt.pop(message_id, None)


def encode(frame: Frame) -> str:
    """Makes JSON of plain values: an enum's member costs several times as much."""
    return to_json(frame).decode()
