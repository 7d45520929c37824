"""A conversation as this process sees it while somebody is connected to it, joins it or writes to it."""

from typing import TYPE_CHECKING

from server.core.model import Conversation

if TYPE_CHECKING:
    from server.runtime.connection import Connection
    from server.runtime.delivery import Save


class Room:
    """Its membership is the ConnectionManager's, `saving` and `last_seq` are the Delivery's to change."""

    __slots__ = (
        "connections",
        "conversation",
        "conversation_id",
        "holders",
        "is_deleted",
        "last_activity",
        "last_seq",
        "live",
        "saving",
    )

    def __init__(self, conversation_id: str) -> None:
        self.conversation_id = conversation_id
        self.conversation: Conversation | None = None  # once the store was asked
        self.holders = 0  # who needs the room though nobody is connected
        self.is_deleted = False  # or being deleted: whoever still holds the room must not go on
        self.last_seq = 0  # the newest that was delivered here
        self.last_activity = 0  # when the last message was stamped, milliseconds since the epoch
        # Tuples, replaced at each change, so that a loop over one may close a connection in it.
        self.connections: tuple[Connection, ...] = ()
        self.live: tuple[Connection, ...] = ()  # those that have caught up: broadcasts go to them
        self.saving: dict[str, Save] | None = None  # by message_id, until the store has settled it

    @property
    def key(self) -> int:
        """The store's name for the conversation."""
        assert self.conversation is not None
        return self.conversation.key

    @property
    def is_unused(self) -> bool:
        return not (self.connections or self.holders or self.saving)
