"""Tests that are coroutines."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

PATIENCE = 30.0  # seconds; a test that hangs fails


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Runs the coroutine function in a loop of its own. What asyncio would merely log, such as an
    exception that nobody retrieved, fails the test."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        complaints: list[dict[str, Any]] = []
        with asyncio.Runner() as runner:
            runner.get_loop().set_exception_handler(lambda loop, context: complaints.append(context))
            runner.run(asyncio.wait_for(test(*args, **kwargs), PATIENCE))
        gc.collect()
        assert not complaints, complaints

    return run
