"""A device that says a message every few milliseconds and keeps all that it hears, whatever happens."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.device import CONVERSATION
from tests.support.server import RunningServer


class Talker:
    """`acked`: seqs, and `nacked`: codes, by message_id. `heard`: seqs in the order of their arrival."""

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.said: list[str] = []
        self.acked: dict[str, int] = {}
        self.nacked: dict[str, str] = {}
        self.heard: list[int] = []
        self.devices = 0
        self.close_code: int | None = None
        self.session_id = ""
        self._is_talking = False
        self._socket: ClientConnection
        self._tasks: list[asyncio.Task[None]] = []

    async def join(self, server: RunningServer) -> dict[str, Any]:
        """Connect, knowing all that was heard before, and say again what was not answered; the welcome."""
        query = f"?conversation_id={CONVERSATION}&client_id={self.client_id}&last_seq={len(self.heard)}"
        if self.session_id:
            query += f"&session_id={self.session_id}"
        self._socket = await connect(f"{server.websocket}/ws/kai{query}", compression=None)
        welcome: dict[str, Any] = json.loads(await self._socket.recv())["data"]
        self.close_code, self.session_id, self.devices = None, welcome["session_id"], welcome["devices"]
        self._tasks.append(asyncio.create_task(self._listen(self._socket)))
        for id in self.unanswered:
            await self._send(id)
        return welcome

    def talk(self, pause: float = 0.01) -> None:
        """Say something again and again, until `fall_silent` or the end of the connection."""
        self._is_talking = True
        self._tasks.append(asyncio.create_task(self._talk(pause)))

    def fall_silent(self) -> None:
        self._is_talking = False

    async def say(self) -> str:
        """Say one message; its id."""
        id = f"{self.client_id}-{len(self.said)}"
        self.said.append(id)
        await self._send(id)
        return id

    @property
    def unanswered(self) -> list[str]:
        """What was said and is neither ACKed nor NACKed."""
        return [id for id in self.said if id not in self.acked and id not in self.nacked]

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await self._socket.close()

    async def _send(self, id: str) -> None:
        await self._socket.send(json.dumps({"type": "CHAT_MESSAGE", "message_id": id, "data": "text"}))

    async def _talk(self, pause: float) -> None:
        with suppress(ConnectionClosed):
            while self._is_talking:
                await self.say()
                await asyncio.sleep(pause)

    async def _listen(self, socket: ClientConnection) -> None:
        try:
            async for payload in socket:
                self._take(json.loads(payload))
        except ConnectionClosed:
            pass
        self.close_code = socket.close_code

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["type"]:
            case "CHAT_MESSAGE":
                self.heard.append(frame["seq"])
            case "ACK":
                self.acked[frame["message_id"]] = frame["seq"]
            case "NACK":
                self.nacked[frame["message_id"]] = frame["error"]["code"]
            case "SYSTEM":
                self.devices = frame["data"].get("devices", self.devices)


@asynccontextmanager
async def talkers(servers: Iterable[RunningServer]) -> AsyncIterator[list[Talker]]:
    """Connect one to each server."""
    found: list[Talker] = []
    try:
        for number, server in zip(itertools.count(), servers):
            found.append(Talker(f"device{number}"))
            await found[-1].join(server)
        yield found
    finally:
        for talker in found:
            await talker.leave()


def check(talkers: Iterable[Talker], stored: dict[str, int]) -> None:
    """Compare what was promised with what the store has, by message_id: nothing lost, doubled or made up."""
    assert sorted(stored.values()) == list(range(1, len(stored) + 1))
    for talker in talkers:
        assert talker.heard == list(range(1, len(stored) + 1))
        for id, seq in talker.acked.items():
            assert stored.get(id) == seq, f"{id} was ACKed"
        for id, code in talker.nacked.items():
            assert id not in stored or code == "outcome_unknown", f"{id} was NACKed {code}"
