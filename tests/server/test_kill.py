"""The server killed in the middle of a load: what it had ACKed is there, once, under the same seq."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.support.postgres_server import PostgresServer
from tests.support.server import RunningServer, running_server

CONVERSATIONS = 8
ACKS_BEFORE_THE_KILL = 300


class Load:
    """Each conversation's sender keeps ten messages under way; `acked` is conversation and id to seq."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.acked: dict[tuple[str, str], int] = {}
        self._is_enough = asyncio.Event()

    async def run_until_killed(self) -> None:
        senders = [asyncio.create_task(self._send(f"conv-{number}")) for number in range(CONVERSATIONS)]
        await asyncio.wait_for(self._is_enough.wait(), 30)
        self.server.process.kill()
        await asyncio.gather(*senders)

    async def _send(self, conversation: str) -> None:
        url = f"{self.server.websocket}/ws/kai?conversation_id={conversation}"
        with suppress(WebSocketException, OSError):
            async with connect(url, compression=None) as socket:
                for number in range(10):
                    await self._say(socket, number)
                next_number = 10
                async for text in socket:
                    frame = json.loads(text)
                    if frame["type"] == "ACK":
                        self._note(conversation, frame)
                        await self._say(socket, next_number)
                        next_number += 1

    def _note(self, conversation: str, ack: dict[str, Any]) -> None:
        self.acked[conversation, ack["message_id"]] = ack["seq"]
        if len(self.acked) >= ACKS_BEFORE_THE_KILL:
            self._is_enough.set()

    @staticmethod
    async def _say(socket: ClientConnection, number: int) -> None:
        frame = {"type": "CHAT_MESSAGE", "message_id": f"m{number}", "data": f"text {number}"}
        await socket.send(json.dumps(frame))


def history_of(server: RunningServer, conversation: str) -> list[tuple[str, int]]:
    messages: list[tuple[str, int]] = []
    has_more = True
    while has_more:
        after = messages[-1][1] if messages else 0
        page = server.get(f"/api/conversations/{conversation}/messages?after_seq={after}&limit=200").json()
        messages += [(frame["message_id"], frame["seq"]) for frame in page["items"]]
        has_more = page["has_more"]
    return messages


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest) -> dict[str, object]:
    """The stores that a kill is survived with."""
    if request.param == "sqlite":
        return {}
    server: PostgresServer = request.getfixturevalue("postgres")
    return {"store__url": server.url(request.getfixturevalue("postgres_database"))}


def test_every_acked_message_is_in_the_history_once_with_its_seq(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    with running_server(tmp_path, rate_limit__enabled=False, **settings) as server:
        load = Load(server)
        asyncio.run(load.run_until_killed())
        server.kill()
    stored: dict[tuple[str, str], int] = {}
    with running_server(tmp_path, **settings) as server:
        for conversation in {conversation for conversation, _ in load.acked}:
            history = history_of(server, conversation)
            assert [seq for _, seq in history] == list(range(1, len(history) + 1))
            assert len({message_id for message_id, _ in history}) == len(history)
            stored |= {(conversation, message_id): seq for message_id, seq in history}
    assert load.acked.items() <= stored.items()
    assert len(load.acked) >= ACKS_BEFORE_THE_KILL
