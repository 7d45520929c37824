"""Users: who is here, and forgetting one for good."""

from typing import Literal

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, Field

from server.api.errors import error_responses, not_found, write_responses
from server.core.timestamps import rfc3339
from server.ports import MessageStore
from server.protocol import is_identifier
from server.runtime.messages.conversations import Conversations
from server.runtime.rooms.presence import Presence

log = structlog.get_logger()


class PresenceView(BaseModel):
    """Whether a device of the user is connected."""

    status: Literal["online", "offline"]
    devices: int = Field(examples=[2])
    last_seen: str | None = Field(
        description="Now, while online; null when the user was not seen since the server started.",
        examples=["2026-01-15T10:30:00.123Z"],
    )


class UserResource:
    """Reads presence, deletes users."""

    def __init__(self, conversations: Conversations, store: MessageStore, presence: Presence) -> None:
        self._conversations = conversations
        self._store = store
        self._presence = presence

    async def presence(self, user_id: str) -> PresenceView:
        devices, last_seen = await self._presence.of(user_id)
        return PresenceView(
            status="online" if devices else "offline",
            devices=devices,
            last_seen=None if last_seen is None else rfc3339(last_seen),
        )

    async def delete(self, user_id: str) -> None:
        """Raises StoreUnavailable."""
        conversation_ids = await self._store.conversations_of(user_id)
        await self._conversations.delete(conversation_ids)
        self._presence.forget(user_id)
        log.info("user deleted", user_id=user_id, conversations=len(conversation_ids))


def users_router(users: UserResource) -> APIRouter:
    router = APIRouter(prefix="/api/users", tags=["users"])

    @router.get("/{user_id}/presence", responses=error_responses(404))
    async def presence(user_id: str) -> PresenceView:
        """Whether the user is online, and with how many devices."""
        _check(user_id)
        return await users.presence(user_id)

    @router.delete("/{user_id}", status_code=204, responses=write_responses(404))
    async def delete(user_id: str) -> None:
        """Removes all of the user's conversations and everything else kept about the user.

        Devices are closed (1000). Of a user who is not known there is nothing to remove: 204 as well.
        """
        _check(user_id)
        await users.delete(user_id)

    return router


def _check(user_id: str) -> None:
    if not is_identifier(user_id):
        raise not_found("user")
