"""A server that says to the page whatever a test wants, beside the page's own files."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse

from server.api.page import page_router
from server.protocol import ai_id_of

Frame = dict[str, Any]
START = "2026-11-23T10:00:00Z"


class ScriptedServer:
    """By default it welcomes, saves and ACKs; a test changes what it likes, and reads what came."""

    def __init__(self) -> None:
        self.received: list[Frame] = []
        self.offered_protocols: list[list[str]] = []
        self.queries: list[dict[str, str]] = []
        self.log: list[Frame] = []
        self.conversations: list[Frame] = []
        self.welcome: Frame = {}
        self.refusal: tuple[int, str] | None = None
        self.history_available = True
        self.may_list = True
        self.lists_asked_for = 0
        self.answer: Callable[[Frame], list[Frame]] = self.save
        self.answer_cancel: Callable[[Frame], list[Frame]] = lambda frame: [self.ack(frame)]
        self._sockets: set[WebSocket] = set()
        self._listen()

    def _listen(self) -> None:
        app = FastAPI()
        app.include_router(page_router())
        app.add_api_websocket_route("/ws/{user_id}", self._connection)
        app.add_api_route("/api/conversations", self._conversations)
        app.add_api_route("/api/conversations/{conversation_id}/messages", self._history)
        bound = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="critical", ws="websockets-sansio"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(bound,))
        self._thread.start()

    def _run(self, bound: socket.socket) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._server.serve([bound]))

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)

    def save(self, frame: Frame) -> list[Frame]:
        """A message's broadcast and its ACK."""
        saved = self.keep(type="CHAT_MESSAGE", **{key: frame[key] for key in ("message_id", "data")})
        return [saved, self.ack(frame) | {"seq": saved["seq"]}]

    def ack(self, frame: Frame) -> Frame:
        return {"type": "ACK", "message_id": frame["message_id"], "data": "Message processed successfully"}

    def keep(self, type: str = "AI_RESPONSE", timestamp: str = START, **fields: Any) -> Frame:
        """A saved message, in the history from now on."""
        seq = len(self.log) + 1
        sender = "ai_alex" if type == "AI_RESPONSE" else "kai"
        frame = {"type": type, "message_id": f"m{seq}", "seq": seq, "timestamp": timestamp, "sender": sender}
        self.log.append(frame | fields)
        return self.log[-1]

    def nack(self, frame: Frame, code: str, text: str, **error: Any) -> list[Frame]:
        told = {"code": code, "retryable": False} | error
        return [{"type": "NACK", "message_id": frame["message_id"], "data": text, "error": told}]

    def say(self, **frame: Any) -> None:
        """Sends a frame to every connection."""
        self._do(self._send_all({"timestamp": START, "sender": "server"} | frame))

    def close(self, code: int, reason: str) -> None:
        self._do(self._close_all(code, reason))

    def frames(self, type: str) -> list[Frame]:
        return [frame for frame in self.received if frame["type"] == type]

    def wait_for(self, type: str, count: int = 1) -> list[Frame]:
        """Give the frames of this type once so many have come: a page shows a message before it arrives."""
        end = time.monotonic() + 5
        while len(frames := self.frames(type)) < count:
            assert time.monotonic() < end, f"{count} {type} expected, {frames} came"
            time.sleep(0.01)
        return frames

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)

    async def _send_all(self, frame: Frame) -> None:
        for connection in list(self._sockets):
            await connection.send_json(frame)

    async def _close_all(self, code: int, reason: str) -> None:
        for connection in list(self._sockets):
            await connection.close(code, reason)

    async def _connection(self, connection: WebSocket, user_id: str) -> None:
        self.offered_protocols.append(connection.scope["subprotocols"])
        self.queries.append(dict(connection.query_params))
        await connection.accept("chat.v1" if connection.scope["subprotocols"] else None)
        if self.refusal:
            return await connection.close(*self.refusal)
        self._sockets.add(connection)
        await connection.send_json(self._welcome(connection))
        try:
            while True:
                frame = await connection.receive_json()
                self.received.append(frame)
                for answer in self._answers(frame):
                    await connection.send_json(answer)
        except WebSocketDisconnect:
            self._sockets.discard(connection)

    def _answers(self, frame: Frame) -> list[Frame]:
        if frame["type"] == "CHAT_MESSAGE":
            return self.answer(frame)
        if frame["type"] == "CANCEL_RESPONSE":
            return self.answer_cancel(frame)
        return [self.ack(frame)] if "message_id" in frame else []

    def _welcome(self, connection: WebSocket) -> Frame:
        ai_id = ai_id_of(connection.query_params["conversation_id"])
        data = {
            "event": "connected",
            "protocol": 1,
            "client_id": connection.query_params["client_id"],
            "session_id": "s1",
            "last_seq": len(self.log),
            "epoch": "e1",
            "gap": None,
            "heartbeat_interval": 30.0,
            "heartbeat_timeout": 60.0,
            "max_text_length": 4000,
            "ai": {"id": ai_id, "name": ai_id.removeprefix("ai_").capitalize(), "status": "online"},
            "devices": 1,
        }
        return {
            "type": "SYSTEM",
            "message_id": "w",
            "timestamp": START,
            "sender": "server",
            "data": data | self.welcome,
        }

    async def _conversations(self, user_id: str) -> Any:
        self.lists_asked_for += 1
        if not self.may_list:
            error = {"type": "ERROR", "data": "an API key is needed", "error": {"code": "unauthorized"}}
            return JSONResponse(error, 401)
        return {"items": self.conversations, "has_more": False}

    async def _history(self, conversation_id: str, before_seq: int = 1 << 53, limit: int = 50) -> Any:
        if not self.history_available:
            raise RuntimeError("the history is not there")
        below = [frame for frame in self.log if frame["seq"] < before_seq]
        return {"items": below[-limit:], "has_more": len(below) > limit}
