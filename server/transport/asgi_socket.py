"""The socket port over plain ASGI: for tests, and for any server that does not know our protocol class."""

import asyncio
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from server.core.framing import MAX_CLOSE_REASON, payloads_of
from server.ports import SocketUser
from server.protocol import CloseCode

_HIGH_WATER: Final = 65536  # bytes that wait to be sent: above, the socket is not writable


class AsgiSocket:
    """Implements Socket. One task reads, one writes; `attach` runs until the connection ends."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._wake = asyncio.Event()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._close: tuple[int, str] | None = None
        self._user: SocketUser | None = None

    @property
    def is_writable(self) -> bool:
        return self._waiting_bytes < _HIGH_WATER

    def write(self, frames: bytes) -> None:
        if self._close is None:
            self._waiting.append(frames)
            self._waiting_bytes += len(frames)
            self._wake.set()

    def close(self, code: int, reason: str) -> None:
        if self._close is None:
            self._close = (code, reason.encode()[:MAX_CLOSE_REASON].decode(errors="ignore"))
            self._wake.set()

    def pause_reading(self) -> None:
        self._may_read.clear()

    def resume_reading(self) -> None:
        self._may_read.set()

    async def attach(self, user: SocketUser) -> None:
        """Serves the connection until its end."""
        self._user = user
        reader = asyncio.create_task(self._read(user))
        writer = asyncio.create_task(self.write_out())
        try:
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            user.on_closed(reader.result() if not reader.cancelled() else CloseCode.NORMAL)

    async def write_out(self) -> None:
        """Sends what waits until `close` was asked for; its close frame is the last."""
        while True:
            frames, self._waiting, self._waiting_bytes = self._waiting, [], 0
            for payload in (p for chunk in frames for p in payloads_of(chunk)):
                await self._websocket.send_text(payload.decode())
            if self._waiting:
                continue
            if self._close is not None:
                await self._websocket.close(*self._close)
                return
            self._wake.clear()
            if frames and self._user is not None:
                self._user.on_writable()
            await self._wake.wait()

    async def _read(self, user: SocketUser) -> int:
        """The code that the peer closed with."""
        while self._websocket.client_state is WebSocketState.CONNECTED:
            await self._may_read.wait()
            try:
                event = await self._websocket.receive()
            except WebSocketDisconnect as end:
                return end.code
            if event["type"] == "websocket.disconnect":
                return int(event.get("code") or 1005)
            if (text := event.get("text")) is not None:
                user.on_text(text.encode())
            else:
                user.on_binary()
        return 1006
