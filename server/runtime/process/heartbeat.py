"""What has to happen now and then: heartbeats, windows that move on, and a look at the loop's own lag."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from server.core.latency import SLOT_SECONDS
from server.core.rate_limit import RateLimiter
from server.protocol.closing import TOKEN_RAN_OUT, TOO_SLOW, silent
from server.runtime.base.background import Background
from server.runtime.base.batches import in_batches
from server.runtime.base.metrics import Metrics
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection

_LAG_SECONDS: Final = 0.1  # between two measurements of the loop's lag


class Heartbeat:
    """One timer for all connections; monotonic clock. Times in seconds."""

    def __init__(
        self,
        manager: ConnectionManager,
        replies: Replies,
        metrics: Metrics,
        limiters: Sequence[RateLimiter],
        interval: float,
        timeout: float,
    ) -> None:
        self._manager = manager
        self._replies = replies
        self._metrics = metrics
        self._limiters = limiters
        self._interval = interval
        self._timeout = timeout
        self._looked = self._awake_since = time.monotonic()  # the loop has had its turns in time since then

    def start(self, background: Background) -> None:
        """Begin to look after the connections, the windows and the loop, until the background is stopped."""
        background.run(self.beat(), "heartbeat")
        background.run(self.keep_time(), "keep-time")
        background.run(self.measure_lag(), "measure-lag")

    async def beat(self) -> None:
        """Sends PINGs and closes connections without a sign of life or a valid token, until cancelled.

        When the process had been stopped or the machine asleep, what devices said meanwhile still lies in
        their sockets: everybody gets the whole timeout again.
        """
        pause = min(1.0, self._interval / 4, self._timeout / 4)
        while True:
            await asyncio.sleep(pause)
            for step in in_batches(self._manager.connections()):
                self._check_all(step, self._look(pause))
                await asyncio.sleep(0)

    async def keep_time(self) -> None:
        """Moves the windows of rates and latencies on, until cancelled."""
        ticks = 0
        while True:
            await asyncio.sleep(1)
            ticks += 1
            self._metrics.tick()
            if ticks % SLOT_SECONDS == 0:
                for window in (
                    self._metrics.ack_latency,
                    self._metrics.commit_latency,
                    self._metrics.loop_lag,
                ):
                    window.advance()
                for limiter in self._limiters:
                    limiter.forget_idle(time.monotonic())

    async def measure_lag(self) -> None:
        """How much later than asked the loop wakes a sleeper, until cancelled."""
        while True:
            asked = time.perf_counter() + _LAG_SECONDS
            await asyncio.sleep(_LAG_SECONDS)
            self._metrics.loop_lag.record(max(0.0, time.perf_counter() - asked))

    def _look(self, pause: float) -> float:
        """The time, by which the next ones are judged. It may have stood still for us at any instruction."""
        now = time.monotonic()
        if now - self._looked > 2 * pause:
            self._awake_since = now
        self._looked = now
        return now

    def _check_all(self, connections: list[Connection], now: float) -> None:
        for connection in connections:
            try:
                self._check(connection, now)
            except Exception:
                connection.fail()

    def _check(self, connection: Connection, now: float) -> None:
        """Only time in which we would have heard the device counts as its silence.

        Who is not read because he does not read is silent: what is held up for him would never end.
        """
        info = connection.info
        if connection.socket.is_writable:
            info.last_writable = now
            if connection.is_held_up:
                info.last_heartbeat = now
        if now - max(info.last_heartbeat, self._awake_since) >= self._timeout:
            connection.close(*silent(self._timeout))
        elif now - max(info.last_writable, self._awake_since) >= self._timeout:
            connection.close(*TOO_SLOW)  # it may speak, but what it is sent piles up
        elif time.time() >= info.expires:
            connection.close(*TOKEN_RAN_OUT)
        elif now - info.last_ping >= self._interval:
            info.last_ping = now
            self._replies.ping(connection)
