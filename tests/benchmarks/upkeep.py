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
MEASURED_SECONDS: Final = 60.0  # of the deletion, where it takes longer
AT_ONCE: Final = 32  # joins under way
MIB: Final = 1 << 20


@dataclass
class Answers:
    """Seconds from each message to its ACK, and how many were refused."""

    seconds: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def percentile(self, percent: int) -> float:
        """In milliseconds."""
        return 1e3 * sorted(self.seconds)[len(self.seconds) * percent // 100]


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


async def delete_long_conversation(server: RunningServer, control: RunningServer, messages: int) -> None:
    """Both servers are written to at the same time, so that what else the machine does meets both alike."""
    there, elsewhere = Writer(), Writer()
    writing = [asyncio.create_task(there.run(server)), asyncio.create_task(elsewhere.run(control))]
    await asyncio.sleep(1)
    there.answers, elsewhere.answers = Answers(), Answers()
    await asyncio.sleep(QUIET_SECONDS)
    report("before", there, elsewhere)
    there.answers, elsewhere.answers = Answers(), Answers()
    started = time.monotonic()
    async with httpx2.AsyncClient(base_url=server.url, timeout=60) as client:
        answer = await client.delete(f"/api/conversations/{conversation_id(0)}")
    print(f"DELETE: {answer.status_code} after {time.monotonic() - started:.3f} s")
    left = messages
    while left and time.monotonic() - started < MEASURED_SECONDS:
        await asyncio.sleep(0.5)
        left = rows_left(server.folder)
    took = time.monotonic() - started
    report("meanwhile", there, elsewhere)
    for task in writing:
        task.cancel()
    print(f"after {took:.1f} s {left} rows are left: {(messages - left) / took:.0f} removed a second")


def report(when: str, there: Writer, elsewhere: Writer) -> None:
    for where, answers in (("the server", there.answers), ("a control", elsewhere.answers)):
        p50, p99 = answers.percentile(50), answers.percentile(99)
        refused = dict(answers.refused) or "none"
        print(f"ACKs {when:<10} by {where}: p50 {p50:6.1f} ms, p99 {p99:6.1f} ms, refused: {refused}")


def rows_left(folder: Path) -> int:
    """Count those of the deleted conversation, of which the first is removed first."""
    with closing(apsw.Connection(str(folder / "chat.db"), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        found = db.execute("SELECT max(seq) - min(seq) + 1 FROM messages WHERE conversation = 1").get
        return 0 if found is None else int(found)


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
        (other := folder / "other").mkdir()
        with running_server(folder, **settings) as server, running_server(other, **settings) as control:
            await delete_long_conversation(server, control, messages)
            await join_new_conversations(control, joins)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--messages", type=int, default=1_500_000)
    parser.add_argument("--joins", type=int, default=12_000)
    arguments = parser.parse_args()
    asyncio.run(measure(arguments.messages, arguments.joins))
