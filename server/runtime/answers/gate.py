"""Lets calls to the AI service begin: so many at a time, in the order in which they came, none in a pause."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

import structlog

from server.core.breaker import Breaker, Call
from server.core.retrying import FailureKind
from server.ports import ResponderFailed

log = structlog.get_logger()

Ticket = asyncio.Future["Slot | None"]


class Slot:
    """The right to one call. Tell `answered` or `failed` if anything is known, and `over` in any case."""

    def __init__(self, gate: "Gate", call: Call) -> None:
        self._gate = gate
        self._call = call
        self._is_over = False

    def answered(self) -> None:
        """The service is up, whatever it thinks of the call."""
        self._gate.answered(self._call)

    def failed(self, failure: ResponderFailed) -> bool:
        """Hear of a failure; whether it means that the service is down."""
        return self._gate.failed(self._call, failure)

    def over(self) -> None:
        """Make room for the next one; a second time it changes nothing."""
        if not self._is_over:
            self._is_over = True
            self._gate.left(self._call)


class Gate:
    """All calls to the service come through it; nobody does until `open`."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._is_open = False
        self._waiting: deque[Ticket] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._on_outage: Callable[[], None] = lambda: None

    @property
    def state(self) -> str:
        """The breaker's state, as /stats shows it."""
        return self._breaker.state

    @property
    def is_open(self) -> bool:
        """Tell whether deliveries go on, as far as an operator is concerned."""
        return self._is_open

    @property
    def failures(self) -> int:
        """Calls in a row that found the service down."""
        return self._breaker.failures

    @property
    def next_probe(self) -> float:
        """Seconds until the service is asked again."""
        return max(0.0, self._breaker.not_before - time.monotonic())

    def when_down(self, tell: Callable[[], None]) -> None:
        """From now on `tell` is called at each call that finds the service down."""
        self._on_outage = tell

    def enter(self) -> Ticket:
        """Queue up. Await the ticket: the slot, or None where it was withdrawn."""
        ticket: Ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        self._admit()
        return ticket

    @staticmethod
    def withdraw(ticket: Ticket) -> None:
        """Let whoever waits for it go on without a slot."""
        if not ticket.done():
            ticket.set_result(None)

    def open(self) -> None:
        self._is_open = True
        self._admit()

    def shut(self) -> None:
        """Let no call begin until `open`; those that run go on."""
        self._is_open = False

    def answered(self, call: Call) -> None:
        was_down = self._breaker.failures
        self._breaker.answered(call, time.monotonic())
        if was_down and not self._breaker.failures:
            log.info("the AI service answers again", waiting=len(self._waiting))
        self._admit()

    def failed(self, call: Call, failure: ResponderFailed) -> bool:
        if not failure.kind.is_outage:
            self.answered(call)
            return False
        is_timeout = failure.kind is FailureKind.TIMEOUT
        before = self._breaker.failures
        is_down = self._breaker.failed(
            call, time.monotonic(), random.random(), failure.retry_after, is_timeout
        )
        if self._breaker.failures > before:
            log.warning("the AI service is down", failures=self.failures, error=str(failure))
            self._on_outage()
        return is_down

    def left(self, call: Call) -> None:
        self._breaker.over(call)
        self._admit()

    def _admit(self) -> None:
        now = time.monotonic()
        while self._is_open and self._waiting and self._breaker.may_begin(now):
            ticket = self._waiting.popleft()
            if not ticket.done():
                ticket.set_result(Slot(self, self._breaker.begin(now)))
        if self._waiting and self._timer is None and now < self._breaker.not_before:
            self._timer = asyncio.get_running_loop().call_later(self._breaker.not_before - now, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._admit()
