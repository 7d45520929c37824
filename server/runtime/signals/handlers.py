"""What devices say beside messages: typing, read receipts, cancellations, new tokens."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

from server.core.model import FRAME_FAILED, STORE_UNAVAILABLE, Refused
from server.core.signal_data import cancelled_id_of, invalid, receipt_of, token_of, typing_of
from server.ports import StoreUnavailable
from server.protocol import ClientFrame
from server.runtime.base.background import Background
from server.runtime.base.tokens import Tokens
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, Room
from server.runtime.signals.receipts import Receipts
from server.runtime.signals.typing import TypingRelay

log = structlog.get_logger()


class SignalHandlers:
    """Each method takes one frame and returns why not, or None: then the answer is sent or on its way."""

    def __init__(
        self,
        replies: Replies,
        typing: TypingRelay,
        receipts: Receipts,
        background: Background,
        tokens: Tokens | None = None,
    ) -> None:
        self._replies = replies
        self._typing = typing
        self._receipts = receipts
        self._background = background
        self._tokens = tokens
        self._cancel: Callable[[Room, str | None], Awaitable[bool | Refused]]

    def typing(self, connection: Connection, frame: ClientFrame) -> Refused | None:
        is_typing = typing_of(frame.data)
        if isinstance(is_typing, Refused):
            return is_typing
        self._typing.indicate(connection, is_typing, frame.message_id)
        if frame.message_id is not None:
            self._replies.ack(connection, frame.message_id)
        return None

    def read_receipt(self, connection: Connection, frame: ClientFrame) -> Refused | None:
        up_to = receipt_of(frame.data)
        if isinstance(up_to, Refused):
            return up_to
        assert frame.message_id is not None  # only typing, PING and PONG may come without
        done = self._receipts.user_read(connection, up_to, frame.message_id)
        self._answer_later(connection, frame.message_id, done, "The position could not be saved; try again")
        return None

    def cancel_response(self, connection: Connection, frame: ClientFrame) -> Refused | None:
        message_id = cancelled_id_of(frame.data)
        if isinstance(message_id, Refused):
            return message_id
        assert frame.message_id is not None
        done = self._cancelled(self._cancel(connection.room, message_id))
        self._answer_later(connection, frame.message_id, done, "The response could not be stopped; try again")
        return None

    def when_cancelled(self, cancel: Callable[[Room, str | None], Awaitable[bool | Refused]]) -> None:
        """From now on `cancel` stops the response with that id, or all of the room.

        Its result is False where none is, or says why that is not known.

        What it can do at once it does at its call: what the device says next is not meant.
        """
        self._cancel = cancel

    def auth_refresh(self, connection: Connection, frame: ClientFrame) -> Refused | None:
        """A new token, of the same user; without JWT auth there is nothing to renew."""
        assert frame.message_id is not None
        if self._tokens is not None:
            token = token_of(frame.data)
            if isinstance(token, Refused):
                return token
            claims = self._tokens.verify_for(token, connection.info.user_id)
            if isinstance(claims, Refused):
                return claims
            connection.info.expires = claims.expires
        self._replies.ack(connection, frame.message_id)
        return None

    @staticmethod
    async def _cancelled(stopping: Awaitable[bool | Refused]) -> Refused | None:
        is_stopped = await stopping
        if isinstance(is_stopped, Refused):
            return is_stopped
        return None if is_stopped else invalid("data: no response is being written or prepared")

    def _answer_later(
        self, connection: Connection, frame_id: str, done: Coroutine[Any, Any, object], unsaved: str
    ) -> None:
        """Answer the frame once it is known what it was; `unsaved`: what is told where the store fails."""
        connection.begin_answer()
        self._background.run(self._answer(connection, frame_id, done, unsaved), "answer-signal")

    async def _answer(
        self, connection: Connection, frame_id: str, done: Coroutine[Any, Any, object], unsaved: str
    ) -> None:
        try:
            answer = await done
        except StoreUnavailable:
            answer = STORE_UNAVAILABLE._replace(text=unsaved)
        except Exception:
            log.exception("a frame could not be processed", **connection.info.context())
            answer = FRAME_FAILED
        connection.end_answer()
        if isinstance(answer, Refused):
            self._replies.nack(connection, frame_id, answer)
        else:
            self._replies.ack(connection, frame_id)
