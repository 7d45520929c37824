"""Questions from one node to another: each has a deadline and gets one answer."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from server.core.envelope import Envelope, Kind, facts_head
from server.runtime.base.background import Background
from server.runtime.nodes.switchboard import Switchboard, node_channel

log = structlog.get_logger()

Facts = dict[str, Any]
Serve = Callable[[Facts], Awaitable[Facts]]


class NoAnswer(Exception):
    """The other node did not answer in time, or could not: whether it did what was asked is not known."""


class Requests:
    """Asks other nodes and answers them."""

    def __init__(self, switchboard: Switchboard, background: Background) -> None:
        self._switchboard = switchboard
        self._background = background
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Facts]] = {}
        self._served: dict[str, Serve] = {}
        switchboard.on(Kind.REQUEST, self._take_request)
        switchboard.on(Kind.ANSWER, self._take_answer)

    def serve(self, what: str, serve: Serve) -> None:
        """From now on `serve` answers such requests; what it raises is logged, and not answered."""
        self._served[what] = serve

    async def ask(self, node_id: str, what: str, facts: Facts, seconds: float) -> Facts:
        """Returns the node's answer. Raises NoAnswer."""
        number = next(self._numbers)
        answer: asyncio.Future[Facts] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        head = facts_head({"number": number, "what": what, "facts": facts})
        try:
            if not self._switchboard.publish(node_channel(node_id), Kind.REQUEST, head):
                raise NoAnswer("the backplane is away")
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise NoAnswer(f"no answer within {seconds:g} s") from None
        finally:
            del self._asked[number]

    def _take_request(self, channel: str, envelope: Envelope) -> None:
        asked = envelope.facts
        if (serve := self._served.get(asked["what"])) is not None:
            work = self._answer(envelope.origin, asked["number"], serve, asked["facts"])
            self._background.run(work, f"answer-{asked['what']}")

    async def _answer(self, node_id: str, number: int, serve: Serve, facts: Facts) -> None:
        head = facts_head({"number": number, "facts": await serve(facts)})
        self._switchboard.publish(node_channel(node_id), Kind.ANSWER, head)

    def _take_answer(self, channel: str, envelope: Envelope) -> None:
        """One that comes too late, or a second time, is passed over."""
        answer = envelope.facts
        future = self._asked.get(answer["number"])
        if future is not None and not future.done():
            future.set_result(answer["facts"])
