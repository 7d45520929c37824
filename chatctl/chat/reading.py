"""What a person was shown counts as read: told to the server soon, and once for many messages."""

import asyncio
from contextlib import suppress
from typing import Final

from chatctl.client.aio import ChatClient
from chatctl.client.errors import SessionEnded

_SOON: Final = 0.3  # seconds; a replay of hundreds of messages is one receipt


class ReadMarks:
    """Sends one READ_RECEIPT for all that was shown lately. Belongs to the event loop's thread."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client
        self._shown = 0
        self._timer: asyncio.TimerHandle | None = None

    def shown(self, seq: int) -> None:
        """Note that the AI's messages up to `seq` are on the screen; 0 where there is none."""
        if seq > self._shown:
            self._shown = seq
            self._timer = self._timer or asyncio.get_running_loop().call_later(_SOON, self.send)

    def send(self) -> None:
        """Tell the server now what it has not been told yet."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            with suppress(SessionEnded):
                self._client.mark_read(self._shown)
