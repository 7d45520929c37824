"""A program in a terminal: what is typed goes to it, what it draws can be read as a person sees it."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pyte

COLUMNS, ROWS = 100, 30
PATIENCE = 20.0  # seconds


class Terminal:
    """Running. `text` is the screen, a line each."""

    def __init__(self, command: Sequence[str]) -> None:
        self._own, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self._screen = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._screen)
        self._drawing = threading.Lock()
        environment = os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.process = subprocess.Popen(command, stdin=other, stdout=other, stderr=other, env=environment)
        os.close(other)
        threading.Thread(target=self._draw, daemon=True).start()

    @property
    def text(self) -> str:
        with self._drawing:
            return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    @property
    def modes(self) -> list[Any]:
        """What the terminal does with what is typed: echo, lines and so on."""
        return termios.tcgetattr(self._own)

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def shows(self, text: str, seconds: float = PATIENCE) -> bool:
        """Whether the text appears within the time."""
        deadline = time.monotonic() + seconds
        while text not in self.text:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def wait_for(self, text: str) -> None:
        assert self.shows(text), f"{text!r} is not on the screen:\n{self.text}"

    def wait_until_gone(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text in self.text:
            assert time.monotonic() < deadline, f"{text!r} is still on the screen:\n{self.text}"
            time.sleep(0.02)

    def _draw(self) -> None:
        with suppress(OSError):  # the program has ended
            while data := os.read(self._own, 65536):
                with self._drawing:
                    self._stream.feed(data)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._own)


@contextmanager
def terminal(*command: str) -> Iterator[Terminal]:
    it = Terminal(command)
    try:
        yield it
    finally:
        it.end()
