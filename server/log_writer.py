"""Writes a log to a file descriptor without ever making its author wait."""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_MAX_WAITING_BYTES: Final = 1 << 20
_RETRY_SECONDS: Final = 1.0


class LogWriter:
    """A stream whose `write` only queues; a thread of its own writes.

    Where nobody reads, as in a pipe whose reader has stopped, up to 1 MiB waits and what comes then is
    counted and dropped. Once there is room, `describe_loss(count)` is written in its place. What cannot be
    written at all (a full disk, a reader that is gone) is lost.
    """

    def __init__(self, descriptor: int, describe_loss: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._describe_loss = describe_loss
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._lost = 0
        self._is_writing = False
        self._changed = threading.Condition()
        threading.Thread(target=self._write_on, name="log", daemon=True).start()

    def write(self, text: str) -> None:
        """Queues the text. Never raises."""
        data = text.encode(errors="backslashreplace")
        with self._changed:
            if self._size + len(data) > _MAX_WAITING_BYTES:
                self._lost += 1
                return
            self._waiting.append(data)
            self._size += len(data)
            self._changed.notify_all()

    def flush(self) -> None:
        """Does nothing: to wait for the reader is what this class is there to avoid."""

    def finish(self, seconds: float) -> None:
        """Waits until all is written, but not longer than that."""
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting and not self._is_writing, seconds)

    def _write_on(self) -> None:
        while True:
            data, lost = self._take()
            self._write_all(data)
            if lost:
                self._write_all(self._describe_loss(lost).encode())

    def _take(self) -> tuple[bytes, int]:
        """Waits for something to write; returns all that waits, and how many texts were lost behind it."""
        with self._changed:
            self._is_writing = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting)
            data, lost = b"".join(self._waiting), self._lost
            self._waiting.clear()
            self._size = self._lost = 0
            self._is_writing = True
        return data, lost

    def _write_all(self, data: bytes) -> None:
        """Bypasses Python's own buffer, whose lock would keep the interpreter from ending."""
        with suppress(OSError):
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:  # another program has made the terminal that we share so
                    select.select([], [self._descriptor], [], _RETRY_SECONDS)
