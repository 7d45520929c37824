"""A TCP proxy between a client and a server of a test, which also spoils what the test marks."""

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum

from loadtest.cluster.tcp_proxy import Link, Way
from loadtest.cluster.tcp_proxy import TcpProxy as PlainProxy

__all__ = ["Fate", "TcpProxy", "Way", "tcp_proxy"]


class Fate(Enum):
    """What becomes of a connection once a marked request has passed."""

    CUT = "both sides are cut instead of handing over the answer"
    SILENT = "no answer comes, and the client is not told"
    LOST = "the request is lost, and both sides are cut"
    HELD = "the request itself is held back, until `release`"


class TcpProxy(PlainProxy):
    """Forwards `port` to a port of 127.0.0.1. `tls`: what it speaks with clients; the other side is plain."""

    def __init__(self, target: int, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(target, tls)
        self._held = asyncio.Event()  # where a marked request waits
        self._marks: dict[bytes, Fate] = {}
        self._fates: dict[Link, Fate] = {}

    def release(self) -> None:
        super().release()
        self.do(self._held.set)

    def spoil_answer(self, marker: bytes, fate: Fate = Fate.CUT) -> None:
        """Let the next request that holds these bytes pass, but not its answer. A marker works once."""
        self.do(lambda: self._marks.update({marker: fate}))

    def hold_request(self, marker: bytes) -> None:
        """Hold back the next request with these bytes, and what follows it on its connection."""
        self.spoil_answer(marker, Fate.HELD)

    async def _may_pass(self, data: bytes, link: Link, way: Way) -> bool:
        if way is Way.TO_SERVER:
            self._look_for_marks(data, link)
        fate = self._fates.get(link)
        if fate is (Fate.LOST if way is Way.TO_SERVER else Fate.CUT):
            link.cut()
            return False
        if fate is Fate.HELD and way is Way.TO_SERVER:
            self._held.clear()
            await self._held.wait()
            self._fates.pop(link, None)
        return fate is not Fate.SILENT or way is Way.TO_SERVER

    def _look_for_marks(self, data: bytes, link: Link) -> None:
        for marker in [marker for marker in self._marks if marker in data]:
            self._fates[link] = self._marks.pop(marker)


@contextmanager
def tcp_proxy(target: int, tls: ssl.SSLContext | None = None) -> Iterator[TcpProxy]:
    """Run a proxy to a port of 127.0.0.1 until the end of the context."""
    proxy = TcpProxy(target, tls)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
