"""A small chat server that keeps the protocol, or breaks it on purpose in one way for each conversation."""

import asyncio
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from server.protocol import ErrorCode, MessageType, RateLimit

Frame = dict[str, Any]


class Breakage(StrEnum):
    NONE = "none"
    DROPS = "one broadcast does not reach one device"
    DOUBLES = "one broadcast reaches a device twice"
    REORDERS = "one broadcast is overtaken by the next"
    LOSES = "one message is ACKed, and its save fails"
    ACKS_EARLY = "every ACK leaves before the broadcast and the save, which is slow"
    ALTERS = "one broadcast has another text"
    INVENTS = "one broadcast that nobody sent"
    SAVES_REFUSED = "one message is NACKed, saved and shown"
    DOUBLE_ANSWERS = "one message is ACKed twice"
    FORGETS = "a restart loses the newest messages"
    MISCOUNTS = "one message more than the limit is let through"
    HASTY = "retry_after is too short"


# The message of a conversation on which it breaks: late enough to have a before, early enough for an after.
BROKEN_AT = 5
FORGOTTEN = 3
SLOW_SAVE = 0.3


class Conversation:
    def __init__(self, breakage: Breakage) -> None:
        self.breakage = breakage
        self.epoch = uuid.uuid4().hex
        self.saved: list[Frame] = []
        self.devices: dict[str, ServerConnection] = {}
        self.received = 0
        self.held: Frame | None = None
        self.passed: deque[float] = deque()

    def breaks(self, breakage: Breakage) -> bool:
        return self.breakage is breakage and self.received == BROKEN_AT


class ChatServer:
    """Conversation number N (ids end with it) has `breakages[N % len(breakages)]`."""

    def __init__(self, breakages: Sequence[Breakage], limit: RateLimit | None = None) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.reconnections = 0
        self._breakages = breakages
        self._limit = limit
        self._known: set[str] = set()
        self._saves: set[asyncio.Task[None]] = set()

    # The WebSocket

    async def on_connection(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        url = urlsplit(socket.request.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        device = query["client_id"]
        self.reconnections += device in self._known
        self._known.add(device)
        conversation = self._conversation(query["conversation_id"])
        with suppress(ConnectionClosed):
            await self._welcome(socket, conversation, url.path.removeprefix("/ws/"), query)
            conversation.devices[device] = socket
            async for payload in socket:
                frame = json.loads(payload)
                if frame["type"] == MessageType.CHAT_MESSAGE:
                    await self._on_message(conversation, socket, query["conversation_id"], frame)
        if conversation.devices.get(device) is socket:
            del conversation.devices[device]

    def _conversation(self, conversation_id: str) -> Conversation:
        if conversation_id not in self.conversations:
            number = int(conversation_id.rpartition("-")[2])
            breakage = self._breakages[number % len(self._breakages)]
            self.conversations[conversation_id] = Conversation(breakage)
        return self.conversations[conversation_id]

    async def _welcome(
        self, socket: ServerConnection, conversation: Conversation, user_id: str, query: dict[str, str]
    ) -> None:
        newest = len(conversation.saved)
        last_seq = min(int(query.get("last_seq", newest)), newest)
        data = {
            "event": "connected",
            "protocol": 1,
            "user_id": user_id,
            "client_id": query["client_id"],
            "session_id": query.get("session_id", uuid.uuid4().hex),
            "connection_id": uuid.uuid4().hex,
            "last_seq": newest,
            "epoch": conversation.epoch,
            "resumed": "session_id" in query,
            "recovered": newest - last_seq,
            "gap": None,
            "heartbeat_interval": 30.0,
            "heartbeat_timeout": 60.0,
            "ack_timeout": 10.0,
            "max_text_length": 4000,
            "rate_limit": self._limit.model_dump() if self._limit else None,
            "ai": {"id": "ai", "name": "AI"},
            "devices": len(conversation.devices) + 1,
        }
        await _send(socket, {"type": MessageType.SYSTEM, "message_id": uuid.uuid4().hex, "data": data})
        for frame in conversation.saved[last_seq:]:
            await _send(socket, frame)

    async def _on_message(
        self, conversation: Conversation, sender: ServerConnection, conversation_id: str, frame: Frame
    ) -> None:
        conversation.received += 1
        message_id = frame["message_id"]
        wait = self._over_limit(conversation)
        if wait is not None:
            await _send(sender, _nack(message_id, ErrorCode.RATE_LIMITED, wait))
            return
        stored = {
            "type": MessageType.CHAT_MESSAGE,
            "message_id": message_id,
            "conversation_id": conversation_id,
            "data": frame["data"],
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "sender": "user",
            "seq": len(conversation.saved) + 1,
        }
        if conversation.breakage is Breakage.ACKS_EARLY:
            await _send(sender, _ack(stored))
            await asyncio.sleep(SLOW_SAVE)
            stored["seq"] = len(conversation.saved) + 1
        conversation.saved.append(stored)
        await self._broadcast(conversation, stored)
        await self._answer(conversation, sender, stored)

    async def _answer(self, conversation: Conversation, sender: ServerConnection, stored: Frame) -> None:
        if conversation.breakage is Breakage.ACKS_EARLY:
            return
        if conversation.breaks(Breakage.SAVES_REFUSED):
            await _send(sender, _nack(stored["message_id"], ErrorCode.STORE_UNAVAILABLE))
            return
        await _send(sender, _ack(stored))
        if conversation.breaks(Breakage.DOUBLE_ANSWERS):
            await _send(sender, _ack(stored))
        if conversation.breaks(Breakage.LOSES):
            conversation.saved[-1] = stored | {"message_id": "another", "data": "another"}
        if conversation.breakage is Breakage.FORGETS and conversation.received == BROKEN_AT + FORGOTTEN:
            del conversation.saved[-FORGOTTEN:]
            for socket in list(conversation.devices.values()):
                await socket.close(1011, "restarting")

    def _over_limit(self, conversation: Conversation) -> float | None:
        if self._limit is None:
            return None
        now = time.time()
        while conversation.passed and conversation.passed[0] <= now - self._limit.window:
            conversation.passed.popleft()
        allowed = self._limit.messages + (conversation.breakage is Breakage.MISCOUNTS)
        if len(conversation.passed) < allowed:
            conversation.passed.append(now)
            return None
        wait = conversation.passed[0] + self._limit.window - now
        return wait / 2 if conversation.breakage is Breakage.HASTY else wait

    async def _broadcast(self, conversation: Conversation, stored: Frame) -> None:
        if conversation.breaks(Breakage.REORDERS):
            conversation.held = stored
        for device, socket in list(conversation.devices.items()):
            for frame in self._frames_for(conversation, device, stored):
                with suppress(ConnectionClosed):
                    await _send(socket, frame)

    def _frames_for(self, conversation: Conversation, device: str, stored: Frame) -> list[Frame]:
        """What one device gets; only the third, which is not the sender, gets what it should not."""
        if not device.endswith("2"):
            return [stored]
        if conversation.breakage is Breakage.REORDERS and conversation.held is not None:
            if conversation.held is stored:
                return []
            held, conversation.held = conversation.held, None
            return [stored, held]
        if conversation.breaks(Breakage.DROPS):
            return []
        if conversation.breaks(Breakage.DOUBLES):
            return [stored, stored]
        if conversation.breaks(Breakage.ALTERS):
            return [stored | {"data": "something else"}]
        if conversation.breaks(Breakage.INVENTS):
            return [stored, stored | {"message_id": "nobodys", "seq": stored["seq"] + 1}]
        return [stored]

    # REST

    def on_request(self, socket: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        if url.path.startswith("/ws/"):
            return None
        return socket.respond(HTTPStatus.OK, json.dumps(self._answer_to(url.path, parse_qs(url.query))))

    def _answer_to(self, path: str, query: dict[str, list[str]]) -> Frame:
        if path == "/stats":
            return {"connections": {"reconnections": self.reconnections}}
        if not path.endswith("/messages"):
            return {"status": "ok"}
        saved = self.conversations[path.split("/")[3]].saved
        after, limit = int(query["after_seq"][0]), int(query["limit"][0])
        return {"items": saved[after : after + limit], "has_more": len(saved) > after + limit}


def _ack(stored: Frame) -> Frame:
    return {"type": MessageType.ACK, "message_id": stored["message_id"], "seq": stored["seq"], "data": "done"}


def _nack(message_id: str, code: ErrorCode, retry_after: float | None = None) -> Frame:
    error = {"code": code, "retryable": True, "retry_after": retry_after}
    return {"type": MessageType.NACK, "message_id": message_id, "data": "no", "error": error}


async def _send(socket: ServerConnection, frame: Frame) -> None:
    await socket.send(json.dumps(frame))


@contextmanager
def chat_server(*breakages: Breakage, limit: RateLimit | None = None) -> Iterator[str]:
    """Runs one on a free port. Yields its URL."""
    ready = threading.Event()
    address: list[int] = []
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        chat = ChatServer(breakages, limit)
        async with serve(
            chat.on_connection, "127.0.0.1", 0, process_request=chat.on_request, compression=None
        ) as server:
            address.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    try:
        assert ready.wait(10)
        yield f"http://127.0.0.1:{address[0]}"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
