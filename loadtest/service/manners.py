"""How the AI service behaves: well or badly, as such services do, each time as it happens to."""

import random
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from loadtest.service.account import Delivery

LONGER: Final = 1.4
"""Times the server's `ai.webhook_timeout`: what hangs so long is given up by the server."""

_MOST_FAILURES: Final = 2  # of one turn: the pauses between tries grow, and the run has an end
_SHARE_OF_GOOD: Final = 0.75
_PIECE_PAUSE: Final = 0.02
_WORDS: Final = 8


class Exchange(Protocol):
    """One call of the server, and what the service can do with it."""

    @property
    def delivery(self) -> Delivery: ...

    @property
    def timeout(self) -> float:
        """The server's `ai.webhook_timeout`, in seconds."""

    def take(self, *answers: str) -> None:
        """Note that the turn is taken, before the server can know it."""

    def reply(self, status: int, document: Any = None, **headers: str) -> None:
        """Answer, with a JSON document if any."""

    def stream(self, content_type: str, pieces: Iterator[str], is_whole: bool = True) -> None:
        """Answer in chunks; not `is_whole`: the connection is cut behind the last one."""

    def hang_up(self) -> None:
        """Cut the connection."""

    def answer_later(self, text: str, in_pieces: bool) -> None:
        """Answer by the server's REST API, until that has taken it."""


Manner = Callable[[Exchange], None]


class Choice(NamedTuple):
    """A manner, and how often it is met among those of its kind."""

    name: str
    weight: int
    act: Manner


def text_of(delivery: Delivery, mark: str = "") -> str:
    """Make the text of an answer, which tells of what try of which turn it is."""
    return f"{delivery.turn} try {delivery.attempt}{mark} " + "and so on " * _WORDS + "that is all"


# Good manners: the turn is taken.


def plain(exchange: Exchange) -> None:
    text = text_of(exchange.delivery)
    exchange.take(text)
    exchange.reply(200, {"message": text})


def _slow(exchange: Exchange) -> None:
    time.sleep(random.uniform(0.1, 0.5) * exchange.timeout)
    plain(exchange)


def _streamed(content_type: str, frame: Callable[[str], str], end: str = "") -> Manner:
    def act(exchange: Exchange) -> None:
        text = text_of(exchange.delivery)

        def pieces() -> Iterator[str]:
            *words, last = pieces_of(text)
            for word in words:
                yield frame(word)
                time.sleep(_PIECE_PAUSE)
            exchange.take(text)
            yield frame(last) + end

        exchange.stream(content_type, pieces())

    return act


def pieces_of(text: str) -> list[str]:
    """Cut a text behind each space."""
    words = text.split(" ")
    return [f"{word} " for word in words[:-1]] + words[-1:]


def _later(status: int, in_pieces: bool) -> Manner:
    def act(exchange: Exchange) -> None:
        text = text_of(exchange.delivery, " later")
        exchange.take(text)
        exchange.reply(status)
        exchange.answer_later(text, in_pieces)

    return act


def _twice(exchange: Exchange) -> None:
    """By the answer and by the REST API too, at the same time."""
    exchange.take(first := text_of(exchange.delivery), second := text_of(exchange.delivery, " again"))
    exchange.answer_later(second, in_pieces=False)
    exchange.reply(200, {"message": first})


# Bad ones: the server has to ask again.


def _refuses(exchange: Exchange) -> None:
    exchange.reply(random.choice((400, 422, 500, 501)), {"error": "not now"})


def _wrong(exchange: Exchange) -> None:
    exchange.reply(200, random.choice(({"message": ""}, {"message": 5}, ["no", "object"], {"text": "?"})))


def _redirects(exchange: Exchange) -> None:
    exchange.reply(307, Location="/elsewhere")


def _breaks_off(exchange: Exchange) -> None:
    """In the middle of its answer, some of which has been shown."""
    pieces = pieces_of(text_of(exchange.delivery, " broken"))
    exchange.stream("text/plain", _paced(pieces[: random.randrange(1, len(pieces))]), is_whole=False)


def _stalls_within(exchange: Exchange) -> None:
    def pieces() -> Iterator[str]:
        yield from _paced(pieces_of(text_of(exchange.delivery, " stalled"))[:3])
        time.sleep(LONGER * exchange.timeout)

    exchange.stream("text/plain", pieces(), is_whole=False)


def _late(exchange: Exchange) -> None:
    """Take it, and say so when the server has given up waiting."""
    time.sleep(LONGER * exchange.timeout)
    plain(exchange)


def _hangs_up(exchange: Exchange) -> None:
    exchange.hang_up()


def busy(exchange: Exchange) -> None:
    exchange.reply(random.choice((429, 502, 503, 504)), Retry_After="0.5")


def hanging(exchange: Exchange) -> None:
    time.sleep(LONGER * exchange.timeout)
    exchange.hang_up()


def gone(exchange: Exchange) -> None:
    exchange.reply(410)


def _paced(pieces: list[str]) -> Iterator[str]:
    for piece in pieces:
        yield piece
        time.sleep(_PIECE_PAUSE)


GOOD: Final = (
    Choice("plain", 20, plain),
    Choice("slow", 8, _slow),
    Choice("text", 8, _streamed("text/plain", str)),
    Choice(
        "sse",
        8,
        _streamed("text/event-stream; charset=utf-8", lambda it: f"data: {it}\n\n", "data: [DONE]\n\n"),
    ),
    Choice(
        "ndjson",
        8,
        _streamed(
            "application/x-ndjson",
            lambda it: f'{{"message":{{"role":"assistant","content":"{it}"}},"done":false}}\n',
            '{"message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}\n',
        ),
    ),
    Choice("later", 8, _later(202, in_pieces=False)),
    Choice("later, in pieces", 6, _later(204, in_pieces=True)),
    Choice("twice", 6, _twice),
)
BAD: Final = (
    Choice("refuses", 6, _refuses),
    Choice("answers wrongly", 5, _wrong),
    Choice("redirects", 2, _redirects),
    Choice("breaks off", 5, _breaks_off),
    Choice("stalls within", 2, _stalls_within),
    Choice("answers late", 3, _late),
    Choice("hangs up", 1, _hangs_up),
    Choice("is busy", 1, busy),
)


def choose(delivery: Delivery) -> Choice:
    """Pick a manner at random; a turn that failed often enough is answered well."""
    may_fail = delivery.attempt <= _MOST_FAILURES
    among = BAD if may_fail and random.random() > _SHARE_OF_GOOD else GOOD
    return random.choices(among, [each.weight for each in among])[0]


def choose_well(delivery: Delivery) -> Choice:
    """Pick a good manner."""
    return random.choices(GOOD, [each.weight for each in GOOD])[0]
