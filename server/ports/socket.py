"""Keeps one device's WebSocket behind a port, whichever server holds it."""

from typing import Protocol


class Socket(Protocol):
    """One device's WebSocket, after its handshake. No method blocks or raises."""

    async def attach(self, user: "SocketUser") -> None:
        """From now on the user hears what comes. The endpoint awaits it last.

        It may return at once, where the server keeps the socket; or at the connection's end.
        """
        ...

    def write(self, frames: bytes) -> None:
        """Hands over whole text frames, as `core.framing.text_frame` makes them."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Sends a close frame behind what was written; the connection ends when the peer answers, or soon."""
        ...

    def pause_reading(self) -> None:
        """Lets TCP slow the sender. What was read already may still come, or wait for `resume_reading`."""
        ...

    def resume_reading(self) -> None: ...

    @property
    def is_writable(self) -> bool:
        """False while the peer reads more slowly than is written; `SocketUser.on_writable` tells the end."""
        ...


class SocketUser(Protocol):
    """Whom a socket reports to, always on the event loop. None of these may raise."""

    def on_text(self, payload: bytes) -> None:
        """One text message, valid UTF-8."""
        ...

    def on_binary(self, payload: bytes) -> None: ...

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str = "") -> None:
        """The connection is gone; 1006 where it ended without a close frame. Called once.

        `reason` is ours where the peer broke the protocol; the peer's own is not passed on.
        """
        ...
