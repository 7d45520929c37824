"""Faults one after another, beside a load that goes on."""

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final, Generic, NamedTuple, TypeVar

import apsw

from loadtest.cluster.programs import ServiceFailed
from loadtest.local_server import ServerFailed
from loadtest.progress import Phase, Progress
from loadtest.result import Check

S = TypeVar("S")

PAUSE: Final = 1.0
"""Seconds before each fault: the devices come back, and the load is as it was."""


class Unmastered(Exception):
    """The fault was not taken as it should be; the message says how."""


class Fault(NamedTuple, Generic[S]):
    """`inflict` does it to the subject S and returns when it is over, after `seconds` at most.

    It raises Unmastered, ServerFailed, ServiceFailed or OSError where that is not taken as it should be.
    """

    name: str
    seconds: float
    inflict: Callable[[S], None]


def held(
    name: str, state: Callable[[S], AbstractContextManager[None]], seconds: float, margin: float = 0.0
) -> Fault[S]:
    """Make the fault that puts the subject into a state for so long; `margin`: what in and out may take."""

    def inflict(subject: S) -> None:
        with state(subject):
            time.sleep(seconds)

    return Fault(f"{name} ({seconds:g} s)", seconds + margin, inflict)


def seconds_of(faults: "Sequence[Fault[S]]") -> float:
    """Compute how long one round takes at most."""
    return sum(PAUSE + fault.seconds for fault in faults) + PAUSE


class Inflicting(Generic[S]):
    """From the end of the warm-up on, again and again, as long as the next one is over before the load ends.

    Attributes:
        checks: What was done, and whether the subject took it as it should.
    """

    def __init__(self, subject: S, faults: Sequence[Fault[S]], total: float, pause: float = PAUSE) -> None:
        self.checks: list[Check] = []
        self._subject = subject
        self._faults = faults
        self._total = total
        self._pause = pause
        self._began = 0.0  # the load, monotonic seconds
        self._thread: threading.Thread | None = None

    def follow(self, progress: Progress) -> None:
        """Hear of the load, which ends `total` seconds after its start."""
        if self._thread is None and progress.phase is Phase.MEASURING:
            self._began = time.monotonic() - progress.t
            self._thread = threading.Thread(target=self._run)
            self._thread.start()

    def finish(self) -> None:
        """Wait for the last one."""
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        end = self._began + self._total
        for fault in itertools.cycle(self._faults):
            if time.monotonic() + self._pause + fault.seconds + self._pause > end:
                return
            time.sleep(self._pause)
            self.checks.append(self._inflict(fault))

    def _inflict(self, fault: Fault[S]) -> Check:
        when = f"{time.monotonic() - self._began:.0f} s after the start"
        try:
            fault.inflict(self._subject)
        except (Unmastered, ServerFailed, ServiceFailed, OSError, apsw.Error) as error:
            return Check(name=fault.name, passed=False, details=[str(error), when])
        return Check(name=fault.name, passed=True, details=[when])
