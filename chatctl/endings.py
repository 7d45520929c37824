"""A command that is told to end leaves things as it found them: the terminal, the server that it started."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# SIGQUIT is what Ctrl-\ sends. SIGINT raises KeyboardInterrupt by itself.
_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


@contextmanager
def signals_end_in_order() -> Iterator[None]:
    """Let the signals that end a program do it as an exception does, with the exit code that shells expect.

    What is ignored, as SIGHUP is under nohup, stays so.
    """
    numbers = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, _leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(number: int, _: object) -> None:
    sys.exit(128 + number)
