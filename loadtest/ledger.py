"""What became of each message of one conversation: told by the devices while it runs, judged at the end.

The ledger believes nobody. It knows what was sent, hears the ACKs and NACKs, notes what each device
sees, and at the end compares all of it with the history that the server gives back. It does no I/O
and reads no clock: times are arguments, in seconds of any one clock.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from server.protocol import ErrorCode, answered_seq_of

# A jump of seq beyond this is no hole that anybody fills: noting it would only eat the generator's memory.
_WIDEST_HOLE: Final = 100_000
_FINDINGS_PER_FAULT: Final = 5


class Fault(StrEnum):
    """What can be wrong with a message."""

    LOST = "lost"  # ACKed and not stored, or stored and not seen by a device
    DUPLICATED = "duplicated"  # seen, stored or answered more than once
    OUT_OF_ORDER = "out_of_order"  # seen after a later one, or given its seq in another order than sent
    GHOST = "ghosts"  # seen or stored, though never sent, never stored, or refused
    ALTERED = "altered"  # another text or seq than it had
    UNANSWERED = "unanswered"  # neither ACK nor NACK


class Moment(NamedTuple):
    """One line of a message's time line. `at_ms` counts from the first line."""

    at_ms: float
    event: str


class Finding(NamedTuple):
    """One fault, and what is known about the message."""

    fault: Fault
    conversation_id: str
    message_id: str
    detail: str
    timeline: list[Moment]


class Stored(NamedTuple):
    """A message of the history, as the server gives it back."""

    seq: int
    message_id: str
    text: object
    is_ais: bool = False


@dataclass(slots=True)
class _Entry:
    """A message that is not yet ACKed and seen by every device, or may be answered again."""

    message_id: str
    text: str
    due: float
    sender: str | None
    number: int  # among the sender's messages
    frames: int = 1  # times sent, as far as is known
    earlier: int = 0  # of those, before the last retry
    answers: int = 0
    acked_at: float | None = None
    refused: str | None = None  # the last NACK's code
    seq: int | None = None
    sights: int = 0
    may_be_cut: bool = False  # a cancel may save a part of it; the first sight settles which
    is_heard: bool = False  # an AI service said it, and nobody knew before
    events: list[tuple[float, str]] = field(default_factory=list)


class _Settled(NamedTuple):
    """All that is kept of a message which was ACKed and seen by every device, the last time at `at`."""

    seq: int
    text_hash: int
    sent_at: float
    acked_at: float
    at: float

    def events(self) -> list[tuple[float, str]]:
        return [
            (self.sent_at, "sent"),
            (self.acked_at, f"ACKed as seq {self.seq}"),
            (self.at, "seen by every device"),
        ]


@dataclass(slots=True)
class _View:
    """What one device has seen: everything from `first` to `newest`, but the holes."""

    first: int
    newest: int
    holes: set[int] = field(default_factory=set)

    def lacks(self, seq: int) -> bool:
        return seq >= self.first and (seq > self.newest or seq in self.holes)


class Ledger:
    """The account of one conversation.

    `has_service`: an AI service answers in it, whose messages are known when the first device sees them.

    Attributes:
        faults: How many of each fault were found so far.
        findings: The first few of each fault.
        sent, acked: Messages; each counts once, however often it was sent or answered.
        nacked: NACKs by error code.
        deliveries: Messages that a device saw for the first time.
    """

    def __init__(self, conversation_id: str, has_service: bool = False) -> None:
        self.conversation_id = conversation_id
        self._has_service = has_service
        self._newest_owed = 0  # the newest seq that the service is to answer
        self._newest_answered = 0  # the newest that it has answered
        self.faults: Counter[Fault] = Counter()
        self.findings: list[Finding] = []
        self.sent = 0
        self.acked = 0
        self.nacked: Counter[str] = Counter()
        self.deliveries = 0
        self._open: dict[str, _Entry] = {}
        self._settled: dict[str, _Settled] = {}
        self._views: dict[str, _View] = {}
        self._numbers: Counter[str | None] = Counter()
        self._newest_ack: dict[str | None, tuple[int, int]] = {}  # sender -> (number, seq)

    # What the devices tell

    def note_joined(self, device: str, last_seq: int) -> None:
        """The device was welcomed: from its first welcome on it is owed every message."""
        self._views.setdefault(device, _View(first=last_seq + 1, newest=last_seq))

    def note_sent(
        self,
        sender: str | None,
        message_id: str,
        text: str,
        due: float,
        at: float,
        *,
        may_be_cut: bool = False,
    ) -> None:
        """The device `sender` was told to send the message (None: it goes in through the REST API).

        `may_be_cut`: only a beginning of it may be saved, the same for all.
        """
        self._numbers[sender] += 1
        entry = _Entry(message_id, text, due, sender, self._numbers[sender], may_be_cut=may_be_cut)
        entry.events.append((at, "sent"))
        self._open[message_id] = entry
        self.sent += 1

    def note_ack(
        self, message_id: str, seq: int | None, at: float, *, frames: int = 1, duplicate: bool = False
    ) -> float | None:
        """An ACK came; `frames`: how often the message had been sent by then.

        Returns when the message had been due, None when it was ACKed before or never sent.
        """
        entry = self._answered(message_id, f"ACKed as seq {seq}", at, frames)
        if entry is None:
            return None
        if seq is None:
            self._report(Fault.ALTERED, entry.message_id, "the ACK has no seq")
        else:
            self._check_seq(entry, seq)
            self._check_order(entry, seq, duplicate)
        entry.refused = None
        if entry.acked_at is not None:
            return None
        entry.acked_at = at
        self.acked += 1
        self._newest_owed = max(self._newest_owed, seq or 0)
        self._settle(entry, at)
        return entry.due

    def note_nack(self, message_id: str, code: str, at: float, *, frames: int = 1) -> float | None:
        """A NACK came. Returns when the message had been due, None when it was never sent."""
        entry = self._answered(message_id, f"NACKed {code}", at, frames)
        if entry is None:
            return None
        self.nacked[code] += 1
        entry.refused = code
        return entry.due

    def note_retry(self, message_id: str, at: float) -> None:
        """After a NACK that leaves the outcome open, the sender sends the message anew under the same id."""
        entry = self._open[message_id]
        entry.earlier = entry.frames
        entry.frames += 1
        entry.events.append((at, "sent again"))

    def note_seen(
        self,
        device: str,
        message_id: str,
        seq: int,
        text: object,
        at: float,
        *,
        recovered: bool = False,
        is_ais: bool = False,
    ) -> float | None:
        """A device saw a message; `recovered`: in the history, where it may read late what it missed.

        Returns when the message had been due. None where that is not known, as of what the AI service says,
        and unless this is the device's first sight of it.
        """
        if is_ais:
            self._hear(message_id, text, at)
        entry = self._open.get(message_id)
        if entry is not None:
            entry.events.append((at, f"seen by {device} as seq {seq}"))
        new = self._place(device, message_id, seq, at, recovered)
        if entry is None and message_id not in self._settled:
            self._report(Fault.GHOST, message_id, f"{device} saw it as seq {seq}, but nobody sent it", at)
        if entry is None or not new:
            return None
        self._check_seq(entry, seq)
        _settle_text(entry, text)
        if text != entry.text:
            self._report(Fault.ALTERED, entry.message_id, f"{device} saw another text than was sent")
        entry.sights += 1
        self.deliveries += 1
        self._settle(entry, at)
        return None if entry.is_heard else entry.due

    def note_absent(self, message_id: str, seq: int) -> None:
        """Asked right after the ACK, the server did not have the message."""
        self._report(Fault.LOST, message_id, f"ACKed as seq {seq}, but not yet in the history right after")

    # What is still awaited

    @property
    def is_answered(self) -> bool:
        """Whether every message was answered, by ACK or NACK."""
        return all(entry.answers for entry in self._open.values())

    @property
    def is_delivered(self) -> bool:
        """Whether every device has seen all that was ACKed, and the answer to it where a service answers."""
        is_owed = self._has_service and self._newest_owed > self._newest_answered
        return not is_owed and not any(
            entry.acked_at and entry.seq is not None and view.lacks(entry.seq)
            for entry in self._open.values()
            for view in self._views.values()
        )

    # The end

    def judge(self, history: Iterable[Stored]) -> None:
        """Compares what was told with what is stored; to be called once, when all devices are done."""
        stored = self._check_history(history)
        for entry in self._open.values():
            self._judge_entry(entry, stored)
        for message_id, settled in self._settled.items():
            if message_id not in stored:
                self._report(Fault.LOST, message_id, f"ACKed as seq {settled.seq}, but not in the history")
        for device, view in self._views.items():
            for message_id, seq in stored.items():
                if view.lacks(seq):
                    self._report(Fault.LOST, message_id, f"stored as seq {seq}, but {device} never saw it")

    def _check_history(self, history: Iterable[Stored]) -> dict[str, int]:
        stored: dict[str, int] = {}
        newest = 0
        for row in history:
            if row.seq != newest + 1:
                self._report(Fault.LOST, row.message_id, f"the history goes from seq {newest} to {row.seq}")
            newest = row.seq
            if row.message_id in stored:
                detail = f"stored twice, as seq {stored[row.message_id]} and {row.seq}"
                self._report(Fault.DUPLICATED, row.message_id, detail)
                continue
            stored[row.message_id] = row.seq
            self._check_row(row)
        return stored

    def _check_row(self, row: Stored) -> None:
        if row.is_ais:
            self._hear(row.message_id, row.text, None)
        entry = self._open.get(row.message_id)
        settled = self._settled.get(row.message_id)
        if entry is not None:
            _settle_text(entry, row.text)
            self._check_seq(entry, row.seq)
        elif settled is None:
            self._report(Fault.GHOST, row.message_id, f"stored as seq {row.seq}, but nobody sent it")
            return
        elif settled.seq != row.seq:
            detail = f"stored as seq {row.seq}, but ACKed as {settled.seq}"
            self._report(Fault.ALTERED, row.message_id, detail)
        expected = hash(entry.text) if entry else settled.text_hash if settled else None
        if not isinstance(row.text, str) or hash(row.text) != expected:
            self._report(Fault.ALTERED, row.message_id, "stored with another text than was sent")

    def _judge_entry(self, entry: _Entry, stored: dict[str, int]) -> None:
        is_stored = entry.message_id in stored
        if entry.acked_at and not is_stored and not entry.is_heard:
            self._report(Fault.LOST, entry.message_id, f"ACKed as seq {entry.seq}, but not in the history")
        if entry.sights and not is_stored:
            self._report(
                Fault.GHOST, entry.message_id, f"seen by {entry.sights} devices, but not in the history"
            )
        if entry.refused not in (None, ErrorCode.OUTCOME_UNKNOWN) and is_stored:
            self._report(Fault.GHOST, entry.message_id, f"NACKed {entry.refused}, but stored")
        if not entry.answers:
            self._report(Fault.UNANSWERED, entry.message_id, "neither ACK nor NACK came")

    # The rules

    def _answered(self, message_id: str, event: str, at: float, frames: int) -> _Entry | None:
        entry = self._open.get(message_id)
        if entry is None:
            if message_id in self._settled:
                self._report(Fault.DUPLICATED, message_id, f"answered once more: {event}", at)
            else:
                self._report(Fault.GHOST, message_id, f"{event}, but nobody sent it", at)
            return None
        entry.answers += 1
        entry.frames = max(entry.frames, entry.earlier + frames)
        entry.events.append((at, event))
        if entry.answers > entry.frames:
            detail = f"sent {entry.frames} times, answered {entry.answers} times"
            self._report(Fault.DUPLICATED, entry.message_id, detail)
        return entry

    def _hear(self, message_id: str, text: object, at: float | None) -> None:
        """Takes an AI's message that nobody announced for the service's. `at`: when a device saw it."""
        is_known = message_id in self._open or message_id in self._settled
        if self._has_service and not is_known:
            when = at or 0.0
            entry = _Entry(message_id, str(text), when, None, 0, answers=1, acked_at=when, is_heard=True)
            self._open[message_id] = entry
            self._newest_answered = max(self._newest_answered, answered_seq_of(message_id) or 0)

    def _check_seq(self, entry: _Entry, seq: int) -> None:
        if entry.seq is None:
            entry.seq = seq
        elif entry.seq != seq:
            self._report(Fault.ALTERED, entry.message_id, f"it is seq {entry.seq} and also seq {seq}")

    def _check_order(self, entry: _Entry, seq: int, duplicate: bool) -> None:
        """The sender sees its broadcast before the ACK, and its messages get their seqs in sending order.

        A resend may come after what was sent later, and its first broadcast with a replay: no order is
        promised for those.
        """
        view = self._views.get(entry.sender) if entry.sender else None
        if view is None or entry.frames > 1 or duplicate:
            return
        if view.lacks(seq):
            self._report(
                Fault.OUT_OF_ORDER, entry.message_id, "ACKed before its broadcast reached the sender"
            )
        number, newest = self._newest_ack.get(entry.sender, (0, 0))
        if (entry.number > number) != (seq > newest):
            self._report(
                Fault.OUT_OF_ORDER,
                entry.message_id,
                f"got seq {seq} after {newest}, in another order than sent",
            )
        self._newest_ack[entry.sender] = max((number, newest), (entry.number, seq))

    def _place(self, device: str, message_id: str, seq: int, at: float, recovered: bool) -> bool:
        """Puts a sight in its place in the device's view; whether the device had lacked it."""
        view = self._views[device]
        if seq > view.newest:
            view.holes.update(range(max(view.newest + 1, seq - _WIDEST_HOLE), seq))
            view.newest = seq
            return True
        if seq in view.holes:
            view.holes.remove(seq)
            if not recovered:
                detail = f"{device} saw seq {seq} after seq {view.newest}"
                self._report(Fault.OUT_OF_ORDER, message_id, detail, at)
            return True
        self._report(Fault.DUPLICATED, message_id, f"{device} saw seq {seq} once more", at)
        return False

    def _settle(self, entry: _Entry, at: float) -> None:
        """Forgets the details of what needs no more, so that a long run costs little memory."""
        seen_by_all = entry.sights == len(self._views) and entry.answers == entry.frames
        if entry.acked_at is not None and entry.seq is not None and seen_by_all and not entry.is_heard:
            del self._open[entry.message_id]
            sent_at = entry.events[0][0]
            self._settled[entry.message_id] = _Settled(
                entry.seq, hash(entry.text), sent_at, entry.acked_at, at
            )

    def _report(self, fault: Fault, message_id: str, detail: str, at: float | None = None) -> None:
        """Counts a fault, and keeps the first few. `at`: when it happened, where a device told it."""
        self.faults[fault] += 1
        if self.faults[fault] <= _FINDINGS_PER_FAULT:
            timeline = self._timeline(message_id, detail, at)
            self.findings.append(Finding(fault, self.conversation_id, message_id, detail, timeline))

    def _timeline(self, message_id: str, detail: str, at: float | None) -> list[Moment]:
        entry, settled = self._open.get(message_id), self._settled.get(message_id)
        events = list(entry.events) if entry else settled.events() if settled else []
        if at is not None and (not events or events[-1][0] < at):
            events.append((at, detail))
        return [Moment(round((when - events[0][0]) * 1e3, 3), event) for when, event in events]


def _settle_text(entry: _Entry, text: object) -> None:
    """Takes the first sight of a message that may be cut for what was saved of it."""
    if entry.may_be_cut and isinstance(text, str) and entry.text.startswith(text):
        entry.text, entry.may_be_cut = text, False
