"""The conversation as a device has it: the saved messages, and the answers being written."""

from collections.abc import Iterable

from chatctl.client.events import Event, Frame, Message, Missing
from chatctl.client.order import OrderFault, SeqLog
from chatctl.client.streams import Streams
from server.protocol import MessageType, Welcome


class Inbox:
    """What has come of the log `epoch`. `last_seq` None begins at the newest message of the first welcome."""

    def __init__(self, last_seq: int | None, epoch: str | None) -> None:
        self.epoch = epoch
        self._log = SeqLog(last_seq or 0)
        self._started = last_seq is not None
        self._streams = Streams()

    @property
    def last_seq(self) -> int | None:
        """All messages up to here have been seen; None before the first welcome."""
        return self._log.complete_to if self._started else None

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The ranges (first, last) that will not come by themselves."""
        return list(self._log.holes)

    def open(self, welcome: Welcome) -> bool:
        """Begins a connection; returns whether its log is another one than before."""
        replaced = self._is_replaced(welcome)
        if replaced:
            self._log = SeqLog()
        elif not self._started:
            self._log = SeqLog(welcome.last_seq)
        self._started, self.epoch = True, welcome.epoch
        if welcome.gap:
            self._log.miss(welcome.gap.last)
        self._log.expect(self._log.newest + 1 if welcome.gap else self._log.complete_to + 1)
        self._streams.forget(log_replaced=replaced)
        return replaced

    def message(self, frame: Frame) -> list[Event]:
        """Takes a saved message of the connection: a Message, after a Missing where it came too early.

        Raises KeyError, TypeError or ValueError for what is none.
        """
        seq, message_id = _identity(frame)
        newest = self._log.newest
        new, fault = self._log.deliver(seq)
        self._finish(frame)
        message = Message(frame, seq, message_id, new, fault)
        skipped = fault is OrderFault.SKIPPED and seq > newest + 1
        return [Missing(newest + 1, seq - 1), message] if skipped else [message]

    def history(self, frames: Iterable[Frame]) -> list[Message]:
        """Takes messages of the REST history; only those that were missing come out. Raises as `message`."""
        messages = []
        for frame in frames:
            seq, message_id = _identity(frame)
            if self._log.fill(seq):
                self._finish(frame)
                messages.append(Message(frame, seq, message_id, new=True, fault=None))
        return messages

    def piece(self, frame: Frame) -> list[Event]:
        """Takes a piece of an answer. Raises KeyError or TypeError for what is none."""
        return [*self._streams.piece(frame)]

    def _finish(self, frame: Frame) -> None:
        if frame["type"] == MessageType.AI_RESPONSE:
            self._streams.finish(frame["message_id"])

    def _is_replaced(self, welcome: Welcome) -> bool:
        if not self._started:
            return False
        return self.epoch not in (None, welcome.epoch) or welcome.last_seq < self._log.complete_to


def _identity(frame: Frame) -> tuple[int, str]:
    seq, message_id = frame["seq"], frame["message_id"]
    if type(seq) is not int or not isinstance(message_id, str):
        raise TypeError("a message without a seq or a message_id")
    if seq < 1:
        raise ValueError("seq counts from 1")
    return seq, message_id
