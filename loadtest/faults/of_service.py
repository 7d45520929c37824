"""What happens between a server and its AI service: either dies, or both, or the service cannot, or hangs."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

from loadtest.faults import of_server
from loadtest.faults.inflicting import Fault, Unmastered, held
from loadtest.faults.of_server import START_SECONDS
from loadtest.local_server import LocalServer
from loadtest.rest import Rest, RestError
from loadtest.service import manners
from loadtest.service.manners import Manner
from loadtest.service.service import AiService

_DEAD = 1.5  # seconds
_PATIENCE = 5.0  # seconds in which the server learns that the service wants nothing more


class Pair(NamedTuple):
    """A server, and the service that answers for it."""

    server: LocalServer
    service: AiService


def round_of(settings: Mapping[str, str]) -> tuple[Fault[Pair], ...]:
    """Make one of each. `settings`: those of the server, as environment variables."""
    timeout = float(settings["CHAT_AI__WEBHOOK_TIMEOUT"])
    grace = float(settings["CHAT_SERVER__SHUTDOWN_GRACE"])
    return (
        held("AI service dies, and comes back", _dead, _DEAD),
        Fault("server: kill -9, and a start", START_SECONDS, _on_server(of_server.kill)),
        held("AI service answers 429 and 5xx to all", partial(_in_mood, mood=manners.busy), _DEAD),
        held("AI service answers nothing", partial(_in_mood, mood=manners.hanging), 2 * timeout),
        Fault(
            "server: SIGTERM, and a start",
            grace + START_SECONDS,
            _on_server(partial(of_server.terminate, grace=grace)),
        ),
        Fault("AI service answers 410; resumed later", _PATIENCE + 1, _gone),
        Fault("both die; the server comes back first", START_SECONDS + _DEAD, _both),
    )


def _on_server(inflict: Callable[[LocalServer], None]) -> Callable[[Pair], None]:
    return lambda pair: inflict(pair.server)


@contextmanager
def _dead(pair: Pair) -> Iterator[None]:
    pair.service.die()
    try:
        yield
    finally:
        pair.service.start()


@contextmanager
def _in_mood(pair: Pair, mood: Manner) -> Iterator[None]:
    pair.service.mood = mood
    try:
        yield
    finally:
        pair.service.mood = None


def _both(pair: Pair) -> None:
    with _dead(pair):
        of_server.kill(pair.server)
        time.sleep(_DEAD)


def _gone(pair: Pair) -> None:
    """The server stops all deliveries, until somebody resumes them."""
    rest = Rest(pair.server.url)
    try:
        with _in_mood(pair, manners.gone):
            _await_pause(rest)
        rest.post("/api/webhook/resume")
    except RestError as error:
        raise Unmastered(str(error)) from error
    finally:
        rest.close()


def _await_pause(rest: Rest) -> None:
    end = time.monotonic() + _PATIENCE
    while not rest.stats()["ai"]["paused"]:
        if time.monotonic() > end:
            raise Unmastered("the service answers 410, but deliveries are not paused")
        time.sleep(0.1)
