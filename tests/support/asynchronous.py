"""Tests that are coroutines."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from functools import partial, wraps
from typing import Any

import uvloop

PATIENCE = 30.0  # seconds; a test that hangs fails


def asynchronous(
    test: Callable[..., Coroutine[Any, Any, None]],
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Callable[..., None]:
    """Runs the coroutine function in a loop of its own. What asyncio would merely log, such as an
    exception that nobody retrieved, fails the test."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        complaints: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.get_loop().set_exception_handler(lambda loop, context: complaints.append(context))
            runner.run(asyncio.wait_for(test(*args, **kwargs), PATIENCE))
        gc.collect()
        assert not complaints, complaints

    return run


on_uvloop = partial(asynchronous, loop_factory=uvloop.new_event_loop)


async def until(is_so: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for what nobody tells of. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110  # there is no event to wait for
            await asyncio.sleep(0.01)
