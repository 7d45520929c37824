"""Opening conversations: found in the store, or created for the user who joins first."""

import asyncio
import time
from typing import Any

from server.core.model import Conversation, NewConversation
from server.ports import MessageStore, StoreUnavailable
from server.protocol import ai_id_of, ai_name_of
from server.protocol.closing import CONVERSATION_DELETED, NOT_DELETED
from server.runtime.base.awaited_commit import AwaitedCommit
from server.runtime.base.background import Background
from server.runtime.base.clock import now_ms
from server.runtime.base.ids import IdMaker
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.room import Room

"""The reason with which its devices are closed (1000)."""


class Conversations:
    """Many that join at once are created in one transaction."""

    def __init__(
        self,
        store: MessageStore,
        manager: ConnectionManager,
        ids: IdMaker,
        background: Background,
        timeout: float,
    ) -> None:
        self._background = background
        self._timeout = timeout
        self._store = store
        self._manager = manager
        self._ids = ids
        self._creations: AwaitedCommit[NewConversation, Conversation] = AwaitedCommit(
            store.create_conversations, timeout, "the conversation could not be created in time"
        )

    async def find(self, room: Room) -> Conversation | None:
        """Finds the conversation of a held room. Raises StoreUnavailable."""
        if room.conversation is None:
            found = await self._store.find_conversation(room.conversation_id)
            if found is not None:
                room.opened(found)
        _check_not_deleted(room)
        return room.conversation

    async def create(
        self, room: Room, user_id: str, ai: dict[str, Any] | None = None
    ) -> tuple[Conversation, bool]:
        """The conversation of a held room, made for that user unless it exists; and whether it was made.

        Raises StoreUnavailable.
        """
        creation = NewConversation(
            id=room.conversation_id,
            user_id=user_id,
            ai=ai or default_ai(room.conversation_id),
            epoch=self._ids.new(),
            created_at=now_ms(),
            arrived=time.monotonic(),
        )
        room.opened(await self._creations.save(creation))
        _check_not_deleted(room)
        assert room.conversation is not None
        return room.conversation, room.conversation.epoch == creation.epoch

    async def delete(self, conversation_ids: list[str]) -> None:
        """Removes them with all their messages, and closes their devices (1000).

        Whoever joins meanwhile is told to try again, and so is everybody (1013) when that failed: who comes
        back sees what there is. It goes on when it takes longer than the caller can wait, so that its end is
        told in any case. Raises StoreUnavailable.
        """
        deletion = self._background.run(self._delete(conversation_ids), "delete-conversations")
        try:
            async with asyncio.timeout(self._timeout):
                fault = await asyncio.shield(deletion)
        except TimeoutError:
            raise StoreUnavailable("the deletion goes on, but has taken too long to wait for") from None
        if fault is not None:
            raise fault

    async def _delete(self, conversation_ids: list[str]) -> StoreUnavailable | None:
        """Deletes, and tells those who are there; returns why it could not."""
        close = NOT_DELETED
        rooms = [self._manager.hold(conversation_id) for conversation_id in conversation_ids]
        try:
            for room in rooms:
                room.is_deleted = True
            await self._store.delete_conversations(conversation_ids)
            close = CONVERSATION_DELETED
            self._deleted(conversation_ids)
        except StoreUnavailable as fault:
            return fault
        else:
            return None
        finally:
            for room in rooms:
                self._manager.close_room(room, close)
                self._manager.release(room)

    def _deleted(self, conversation_ids: list[str]) -> None:
        """Hear of conversations that are deleted. Of a node that is alone nobody else has to know."""


def default_ai(conversation_id: str) -> dict[str, Any]:
    """The AI of a conversation that was created by joining: `ai_alex` is called Alex."""
    ai_id = ai_id_of(conversation_id)
    return {"id": ai_id, "name": ai_name_of(ai_id)}


def _check_not_deleted(room: Room) -> None:
    if room.is_deleted:
        raise StoreUnavailable("the conversation is being deleted")
