"""A chat whose messages come through a pipe: each line is one, sent when the one before is answered."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import IO, Final

from chatctl.client.aio import ChatClient, Sending
from chatctl.client.errors import MessageFailed
from chatctl.client.outgoing import Outgoing
from server.protocol import ErrorCode

_LINES_AHEAD: Final = 100


async def send_lines(
    client: ChatClient,
    lines: AsyncIterator[str],
    on_sent: Callable[[Outgoing], None],
    on_failure: Callable[[MessageFailed], None],
) -> bool:
    """Whether all were delivered. Where the server tells to slow down, it waits and tries again.

    Raises SessionEnded.
    """
    all_delivered = True
    async for text in lines:
        try:
            await _deliver(client, client.send(text), on_sent)
        except MessageFailed as failure:
            all_delivered = False
            on_failure(failure)
    return all_delivered


async def _deliver(client: ChatClient, sending: Sending, on_sent: Callable[[Outgoing], None]) -> None:
    on_sent(sending.message)
    try:
        await sending
    except MessageFailed as failure:
        if failure.code != ErrorCode.RATE_LIMITED or failure.retry_after is None:
            raise
        await asyncio.sleep(failure.retry_after)
        await _deliver(client, client.retry(failure.message), on_sent)


async def lines_of(stream: IO[str]) -> AsyncIterator[str]:
    """Read in a thread that nobody waits for: a pipe may stay silent for ever."""
    loop = asyncio.get_running_loop()
    room = threading.Semaphore(_LINES_AHEAD)
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        with suppress(RuntimeError):  # the loop is closed: the chat is over
            for line in stream:
                room.acquire()
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\r\n"))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (line := await lines.get()) is not None:
        room.release()
        yield line
