"""Lets reads pass, or holds them back for a moment in which the log is to have no reader."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import apsw

R = TypeVar("R")

_PATIENCE: Final = 0.02  # seconds: a read that takes longer is interrupted, and begins again


class ReadGate:
    """Reads are made by one thread, `closed` is used by another."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self._is_open.set()
        self._reading = threading.Lock()

    def read(self, job: Callable[[], R]) -> R:
        """Do a job that reads; again where it was interrupted."""
        while True:
            self._is_open.wait()
            with self._reading:
                try:
                    return job()
                except apsw.InterruptError:
                    continue

    @contextmanager
    def closed(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Hold reads back meanwhile; `interrupt` ends the one that is under way."""
        self._is_open.clear()
        try:
            while not self._reading.acquire(timeout=_PATIENCE):
                interrupt()
            try:
                yield
            finally:
                self._reading.release()
        finally:
            self._is_open.set()
