"""What others notice of a long deletion, and how long the log gets: python -m tests.benchmarks.upkeep

A conversation of 1.5 million messages is deleted while another one is written to at a steady rate; then
devices join 12,000 new conversations. [--messages 1500000] [--joins 12000]
"""

import argparse
import asyncio
import json
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw
import httpx2

from loadtest.bench.connection import Connection
from loadtest.bench.room import conversation_id
from loadtest.fill import fill
from tests.support.server import RunningServer, running_server

RATE: Final = 100  # messages a second
QUIET_SECONDS: Final = 15.0
AT_ONCE: Final = 32  # joins under way
MIB: Final = 1 << 20


@dataclass
class Answers:
    """Seconds from each message to its ACK, and how many were refused."""

    seconds: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def p99(self) -> float:
        return sorted(self.seconds)[len(self.seconds) * 99 // 100]


class Writer:
    """A device that writes at a steady rate; `answers` is where what comes back is noted."""

    def __init__(self) -> None:
        self.answers = Answers()
        self._sent: dict[str, float] = {}

    async def run(self, server: RunningServer) -> None:
        url = f"{server.websocket}/ws/writer?conversation_id=writers"
        connection = await Connection.open(url, self._received, lambda: None)
        started, number = time.monotonic(), 0
        while True:
            await asyncio.sleep(max(0.0, started + number / RATE - time.monotonic()))
            message_id, number = f"m{number}", number + 1
            message = {"type": "CHAT_MESSAGE", "message_id": message_id, "data": "x" * 100}
            self._sent[message_id] = time.monotonic()
            connection.send(json.dumps(message).encode())

    def _received(self, payload: bytes) -> None:
        frame: dict[str, Any] = json.loads(payload)
        if frame["type"] == "ACK":
            self.answers.seconds.append(time.monotonic() - self._sent.pop(frame["message_id"]))
        elif frame["type"] == "NACK":
            self.answers.refused[frame["error"]["code"]] += 1


async def delete_long_conversation(server: RunningServer) -> None:
    writer = Writer()
    writing = asyncio.create_task(writer.run(server))
    await asyncio.sleep(1)
    before = writer.answers = Answers()
    await asyncio.sleep(QUIET_SECONDS)
    during = writer.answers = Answers()
    started = time.monotonic()
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.delete(f"/api/conversations/{conversation_id(0)}")
        print(f"DELETE: {answer.status_code} after {time.monotonic() - started:.3f} s")
        while rows_left(server.folder):  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.5)
    took = time.monotonic() - started
    writing.cancel()
    print(f"its rows were removed after {took:.1f} s")
    for name, answers in (("before", before), ("meanwhile", during)):
        print(f"ACK p99 {name:<10}{1e3 * answers.p99():7.1f} ms of {len(answers.seconds)}", end="")
        print(f", refused: {dict(answers.refused) or 'none'}")
    print(f"ratio {during.p99() / before.p99():.2f} (at most 2 is wanted)")


def rows_left(folder: Path) -> bool:
    """Tell whether the deletion is still going on, by a look that writes nothing."""
    with closing(apsw.Connection(str(folder / "chat.db"), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return bool(db.execute("SELECT count(*) FROM deleted").get)


async def join_new_conversations(server: RunningServer, count: int) -> None:
    limit, longest = asyncio.Semaphore(AT_ONCE), 0

    async def join(number: int) -> None:
        nonlocal longest
        welcomed = asyncio.Event()
        async with limit:
            url = f"{server.websocket}/ws/user{number}?conversation_id=new{number}"
            connection = await Connection.open(url, lambda _: welcomed.set(), lambda: None)
            await welcomed.wait()
            connection.close()
            longest = max(longest, (server.folder / "chat.db-wal").stat().st_size)

    await asyncio.gather(*map(join, range(count)))
    await asyncio.sleep(2)
    in_file = (server.folder / "chat.db").stat().st_size / MIB
    print(f"{count} joins: the log had up to {longest / MIB:.1f} MiB; the database has {in_file:.1f} MiB")


async def measure(messages: int, joins: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        await asyncio.to_thread(fill, folder / "chat.db", messages, 1)
        settings: dict[str, object] = {"rate_limit__enabled": False, "connections__max_per_ip": 100_000}
        with running_server(folder, **settings) as server:
            await delete_long_conversation(server)
        for file in folder.iterdir():
            file.unlink()
        with running_server(folder, **settings) as server:
            await join_new_conversations(server, joins)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=1_500_000)
    parser.add_argument("--joins", type=int, default=12_000)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.messages, arguments.joins))
