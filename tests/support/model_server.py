"""A provider of models that does what a test says. It runs in a thread of its own."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

FOR_EVER = float("inf")


@dataclass
class Reply:
    """An HTTP response in chunks.

    `steps`: bytes to send, seconds to wait. `head_after`: seconds before the status line. Where it does not
    `end`, the connection is cut in the middle of the body.
    """

    steps: Sequence[bytes | float] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "text/event-stream"})
    ends: bool = True
    head_after: float = 0.0


@dataclass
class Request:
    """What a client asked for, and when (monotonic) its connection was seen to be gone."""

    line: str
    headers: dict[str, str]
    body: Any
    gone: threading.Event = field(default_factory=threading.Event)
    gone_at: float = FOR_EVER


class ModelServer:
    """Answers each request with the next of its replies, and with the last of them from then on."""

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.requests: list[Request] = []
        self._arrived = threading.Semaphore(0)
        self._taken = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def reply(self, *steps: bytes | float, **fields: Any) -> None:
        """Adds a reply; see Reply."""
        self.replies.append(Reply(steps, **fields))

    def wait_for_request(self) -> Request:
        """The next request that no call has returned yet."""
        assert self._arrived.acquire(timeout=10), "no request came"
        self._taken += 1
        return self.requests[self._taken - 1]

    def close(self) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _stop(self) -> None:
        self._server.close()
        await asyncio.sleep(0.01)  # for connections that were accepted and not begun
        for task, writer in list(self._serving.items()):
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._serving[task] = writer
        task.add_done_callback(self._serving.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sending: asyncio.Future[None] | None = None
        try:
            request = await _read_request(reader)
            reply = self.replies[min(len(self.requests), len(self.replies) - 1)]
            self.requests.append(request)
            self._arrived.release()
            sending = asyncio.ensure_future(_send(reply, writer))
            await reader.read()  # one request a connection: what comes is its end
            request.gone_at = time.monotonic()
            request.gone.set()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            if sending is not None:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            writer.transport.abort()


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *fields = head.strip().split("\r\n")
    headers = {name.lower(): value for name, value in (it.split(": ", 1) for it in fields)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(line, headers, json.loads(body) if body else None)


async def _send(reply: Reply, writer: asyncio.StreamWriter) -> None:
    await _pause(reply.head_after)
    headers = reply.headers | {"Transfer-Encoding": "chunked"}
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {reply.status} X\r\n{fields}\r\n".encode())
    for step in reply.steps:
        if isinstance(step, bytes):
            writer.write(b"%x\r\n%b\r\n" % (len(step), step))
            await writer.drain()
        else:
            await _pause(step)
    if reply.ends:
        writer.write(b"0\r\n\r\n")
    else:
        writer.close()


async def _pause(seconds: float) -> None:
    if seconds == FOR_EVER:
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


@contextmanager
def model_server() -> Iterator[ModelServer]:
    server = ModelServer()
    try:
        yield server
    finally:
        server.close()


def piece(content: str | None, reason: str | None = None, **delta: Any) -> bytes:
    """A chat completion chunk as an event."""
    choice = {"index": 0, "delta": {"content": content} | delta, "finish_reason": reason}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"
