"""The socket port over plain ASGI: for tests, and for any server that does not know our protocol class."""

import asyncio
from typing import Final

from starlette.websockets import WebSocket

from server.core.websocket_frames import MAX_CLOSE_REASON, payloads_of
from server.ports import SocketUser
from server.protocol import ABNORMAL_CLOSURE

_HIGH_WATER: Final = 65536  # bytes that wait to be sent: above, the socket is not writable
_CLOSE_SECONDS: Final = 10.0  # for the server to send a close frame and end; then the connection is given up
_NO_STATUS: Final = 1005


class AsgiSocket:
    """Implements Socket. One task reads, one writes; `attach` runs until the connection ends.

    Limits on frames and handshakes are those of the server that hosts the application.
    """

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._waiting: list[bytes] = []
        self._unsent = 0  # bytes
        self._wake = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._close: tuple[int, str] | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._reader: asyncio.Task[int] | None = None

    @property
    def is_writable(self) -> bool:
        return self._unsent < _HIGH_WATER

    def write(self, frames: bytes) -> None:
        if self._close is None:
            self._waiting.append(frames)
            self._unsent += len(frames)
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        if self._close is None:
            self._close = (code, reason.encode()[:MAX_CLOSE_REASON].decode(errors="ignore"))
            self._close_timer = asyncio.get_running_loop().call_later(_CLOSE_SECONDS, self._give_up)
            self._wake.set()
            self._may_read.set()  # the peer's close frame is to be seen

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    async def attach(self, user: SocketUser) -> None:
        """Serves the connection until its end."""
        self._reader = asyncio.create_task(self._read(user))
        tasks = (self._reader, asyncio.create_task(self._write_out(user)))
        try:
            await asyncio.wait({self._reader})
        finally:
            for task in tasks:
                task.cancel()
            code, _ = await asyncio.gather(*tasks, return_exceptions=True)
            if self._close_timer is not None:
                self._close_timer.cancel()
            user.on_closed(code if isinstance(code, int) else ABNORMAL_CLOSURE)

    def _give_up(self) -> None:
        if self._reader is not None:
            self._reader.cancel()

    async def _read(self, user: SocketUser) -> int:
        """Until the end; the code that the connection was closed with."""
        while True:
            await self._may_read.wait()
            event = await self._websocket.receive()
            if event["type"] == "websocket.disconnect":
                return int(event.get("code") or _NO_STATUS)
            if (text := event.get("text")) is not None:
                user.on_text(text.encode())
            else:
                user.on_binary(event["bytes"])

    async def _write_out(self, user: SocketUser) -> None:
        """Sends what waits until `close` was asked for; its close frame is the last."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._send_waiting(user)
            if self._close is not None:
                await self._websocket.close(*self._close)
                return

    async def _send_waiting(self, user: SocketUser) -> None:
        frames, self._waiting = b"".join(self._waiting), []
        for payload in payloads_of(frames):
            await self._websocket.send_text(payload.decode())
        was_writable = self.is_writable
        self._unsent -= len(frames)
        if self.is_writable and not was_writable:
            user.on_writable()
