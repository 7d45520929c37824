"""A chat in a terminal: final lines scroll up, what is open and the composer stay below them."""

import asyncio
from contextlib import suppress
from io import StringIO
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console, RenderableType

from chatctl.chat.reading import ReadMarks
from chatctl.chat.rendering import rich_line, rich_open
from chatctl.chat.transcript import Kind, Line, Transcript
from chatctl.client.aio import ChatClient
from chatctl.client.errors import SessionEnded

_REDRAW_SECONDS: Final = 0.5  # the countdown to the next attempt
_COMPOSER_LINES: Final = 4  # of the screen, for what is being typed
_GOODBYE_SECONDS: Final = 3.0  # for what is still under way when the user leaves
HELP: Final = (
    "/retry sends failed messages again, /stop (or Esc) ends the answer being written, /now reconnects,"
    " /quit leaves; // begins a message that starts with /"
)


class Terminal:
    """One conversation in one terminal."""

    def __init__(self, client: ChatClient, transcript: Transcript) -> None:
        self._client = client
        self._transcript = transcript
        self._marks = ReadMarks(client)
        self._prompt: PromptSession[str] = PromptSession(erase_when_done=True, key_bindings=self._keys())
        self._console = Console(highlight=False, force_terminal=True)

    async def talk(self, earlier: list[Line]) -> None:
        """Begins with the `earlier` lines; until the user leaves or the session ends."""
        self._prompt.default_buffer.on_text_changed += self._tell_typing
        with patch_stdout(raw=True):
            self._show([*earlier, Line(Kind.NOTE, HELP)])
            watching = asyncio.create_task(self._watch())
            with suppress(EOFError, KeyboardInterrupt):
                while self._client.ended is None:
                    self._say(await self._compose())
            self._marks.send()
            await self._client.flush(_GOODBYE_SECONDS)
            watching.cancel()

    async def _watch(self) -> None:
        async for event in self._client:
            self._show(self._transcript.apply(event, _now()))
            self._prompt.app.invalidate()
        if self._prompt.app.is_running:
            self._prompt.app.exit(exception=EOFError)

    def _keys(self) -> KeyBindings:
        """Esc and Ctrl-X stop an answer; what is being typed stays."""
        keys = KeyBindings()

        @keys.add("escape")
        @keys.add("c-x", eager=True)
        def stop(_: KeyPressEvent) -> None:
            if self._transcript.may_be_stopped:
                self._stop()

        return keys

    def _stop(self) -> None:
        with suppress(SessionEnded):
            self._client.cancel_response()

    def _tell_typing(self, buffer: Buffer) -> None:
        self._client.typing(bool(buffer.text.strip()) and not buffer.text.startswith("/"))

    def _show(self, lines: list[Line]) -> None:
        for line in lines:
            self._console.print(rich_line(line))
        self._marks.shown(self._transcript.newest_of_ai)

    async def _compose(self) -> str:
        return await self._prompt.prompt_async(self._below, refresh_interval=_REDRAW_SECONDS)

    def _below(self) -> ANSI:
        """What is open; of more than the screen holds the end, since an answer grows there."""
        lines = _drawn(rich_open(self._transcript, _now()), self._console.width).splitlines(keepends=True)
        return ANSI("".join(lines[-max(1, self._console.height - _COMPOSER_LINES) :]) + "> ")

    def _say(self, text: str) -> None:
        try:
            if text.startswith("/") and not text.startswith("//"):
                self._obey(text.strip())
            elif text.strip():
                self._transcript.sent(self._client.send(text.removeprefix("/")).message)
        except (SessionEnded, ValueError) as error:
            self._show([Line(Kind.NOTE, str(error))])

    def _obey(self, command: str) -> None:
        match command:
            case "/retry":
                for message in self._transcript.take_failed():
                    self._transcript.sent(self._client.retry(message).message)
            case "/stop":
                self._stop()
            case "/now":
                self._client.reconnect_now()
            case "/quit":
                raise EOFError
            case _:
                self._show([Line(Kind.NOTE, HELP)])


def _drawn(renderable: RenderableType, width: int) -> str:
    canvas = Console(file=StringIO(), width=width, highlight=False, force_terminal=True)
    with canvas.capture() as drawn:
        canvas.print(renderable)
    return drawn.get()


def _now() -> float:
    return asyncio.get_running_loop().time()
