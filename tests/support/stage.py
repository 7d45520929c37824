"""The runtime on a stage: its real objects over a store, with sockets that the test holds in its hands."""

import asyncio
import json
from typing import Any

from server.core.connection_limits import ConnectionLimits
from server.core.join_request import JoinRequest, Refusal
from server.core.rate_limit import RateLimiter
from server.core.websocket_frames import payloads_of
from server.ports import Backplane, MessageStore, Responder, SocketUser
from server.runtime.answers.streams import StreamConfig
from server.runtime.answers.turns import TurnConfig
from server.runtime.messages.join import JoinConfig
from server.runtime.node import Node, NodeConfig
from server.runtime.rooms.room import Connection
from server.store.timed import TimedStore
from tests.support.device import CONVERSATION

MAX_INVALID_FRAMES = 10


class FakeSocket:
    """Implements Socket: keeps what is written. A test may make it unwritable, or raise at a write."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.writes = 0
        self.closed: tuple[int, str] | None = None
        self.is_writable = True
        self.is_reading = True
        self.fault: Exception | None = None

    async def attach(self, user: SocketUser) -> None:
        """The test calls the user itself."""

    def write(self, frames: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        if self.closed is None:
            self.writes += 1
            self.frames += [json.loads(payload) for payload in payloads_of(frames)]

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


class StageDevice:
    """A device that is connected, as its client sees it."""

    def __init__(self, connection: Connection, socket: FakeSocket) -> None:
        self.connection = connection
        self.socket = socket

    @property
    def welcome(self) -> dict[str, Any]:
        data: dict[str, Any] = self.socket.frames[0]["data"]
        return data

    @property
    def seen(self) -> list[int]:
        """The seqs of the messages that reached it, in their order."""
        return [f["seq"] for f in self.socket.frames if f["type"] in ("CHAT_MESSAGE", "AI_RESPONSE")]

    @property
    def answers(self) -> list[dict[str, Any]]:
        return [f for f in self.socket.frames if f["type"] in ("ACK", "NACK", "ERROR", "PONG")]

    @property
    def device_counts(self) -> list[int]:
        return [f["data"]["devices"] for f in self.socket.frames if _event(f) == "devices"]

    def send(self, frame: dict[str, Any]) -> None:
        self.connection.on_text(json.dumps(frame).encode())

    def say(self, message_id: str, text: str = "text") -> None:
        self.send({"type": "CHAT_MESSAGE", "message_id": message_id, "data": text})


class Stage:
    """A node without a process: everything between the socket port and the store port."""

    def __init__(
        self,
        store: MessageStore,
        limiter: RateLimiter | None = None,
        recovery_max_messages: int = 500,
        send_queue: int = 256,
        store_timeout: float = 5.0,
        session_ttl: float = 300.0,
        signal_limiter: RateLimiter | None = None,
        auto_create: bool = True,
        shutdown_grace: float = 10.0,
        streams: StreamConfig = StreamConfig(),  # noqa: B008 - frozen
        turns: TurnConfig = TurnConfig(),  # noqa: B008 - frozen
        responder: Responder | None = None,
        backplane: Backplane | None = None,
        node_ttl: float = 5.0,
        max_per_user: int = 1000,
        typing_timeout: float = 4.0,
    ) -> None:
        config = NodeConfig(
            join=JoinConfig(30.0, 60.0, 4000, 65536, None, auto_create, recovery_max_messages),
            connections=ConnectionLimits(1000, 1000, max_per_user),
            streams=streams,
            turns=turns,
            messages=limiter,
            signals=signal_limiter,
            send_queue=send_queue,
            session_ttl=session_ttl,
            store_timeout=store_timeout,
            shutdown_grace=shutdown_grace,
            kept_events=100,
            node_ttl=node_ttl,
            typing_timeout=typing_timeout,
        )
        self.store = TimedStore(store, store_timeout)
        self.node = node = Node(config, self.store, responder, backplane=backplane)
        self.background = node.background
        self.sessions, self.manager, self.replies = node.sessions, node.manager, node.replies
        self.fan_out, self.metrics = node.fan_out, node.metrics
        self.delivery, self.receiver = node.delivery, node.receiver
        self.conversations, self.joins = node.conversations, node.joins
        self.shutdown = node.shutdown

    async def join(
        self, client_id: str | None, user: str = "kai", conversation: str = CONVERSATION, **brought: Any
    ) -> StageDevice:
        """Connected, and its welcome written."""
        socket = FakeSocket()
        answer = await self.ask_to_join(socket, client_id, user, conversation, **brought)
        assert isinstance(answer, Connection), answer
        self.replies.flush()
        return StageDevice(answer, socket)

    async def ask_to_join(
        self,
        socket: FakeSocket,
        client_id: str | None,
        user: str = "kai",
        conversation: str = CONVERSATION,
        session_id: str | None = None,
        last_seq: int | None = None,
        epoch: str | None = None,
    ) -> Connection | Refusal:
        request = JoinRequest(user, conversation, client_id, session_id, last_seq, epoch, "127.0.0.1")
        return await self.joins.join(request, socket)

    async def settle(self) -> None:
        """Until nothing is being saved and what was offered is written; for stores that answer at once."""
        for _ in range(10):
            await self.delivery.drained()
            await turns(3)


async def turns(count: int) -> None:
    """So many turns of the event loop."""
    for _ in range(count):
        await asyncio.sleep(0)


def _event(frame: dict[str, Any]) -> str | None:
    return frame["data"]["event"] if frame["type"] == "SYSTEM" else None
