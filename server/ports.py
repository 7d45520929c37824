"""What the runtime needs from outside. Each port has one contract suite that every implementation passes."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Generic, Protocol, TypeVar

from server.core.model import (
    Advance,
    Conversation,
    Draft,
    NewConversation,
    Outcome,
    Position,
    StoredMessage,
    Summary,
)
from server.core.turn_rules import Turn

T_co = TypeVar("T_co", covariant=True)


class StoreUnavailable(Exception):
    """The database did not answer in time or refused; nothing is known to have been changed."""


class Batch(Generic[T_co]):
    """Items on their way into one transaction.

    The store claims them once its transaction is open, possibly in another thread; until then the
    event loop may withdraw those whose time is over. Each item is thus either claimed or withdrawn.
    `items`: those that are left; once claimed, they stay.
    """

    __slots__ = ("_claimed", "_lock", "items")

    def __init__(self, items: list[T_co]) -> None:
        self.items = items
        self._claimed = False
        self._lock = threading.Lock()

    def claim(self) -> list[T_co]:
        """The items that are left; from now on their outcome is the store's."""
        with self._lock:
            self._claimed = True
            return self.items

    def withdraw(self, is_due: Callable[[T_co], bool]) -> list[T_co] | None:
        """Takes the due items out and returns them; None when the store has claimed the batch."""
        with self._lock:
            if self._claimed:
                return None
            withdrawn = [item for item in self.items if is_due(item)]
            self.items = [item for item in self.items if not is_due(item)]
            return withdrawn


# The outcomes of a batch: at once, or once it is committed.
Saved = list[Outcome] | asyncio.Future[list[Outcome]]


class MessageStore(Protocol):
    """Conversations and their messages. Only the store gives out `seq`, inside the commit.

    What is awaited raises StoreUnavailable when the database does not answer.
    """

    backend: str  # as /stats shows it

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def is_healthy(self) -> bool:
        """Whether the database answers; never raises."""
        ...

    def save(self, batch: Batch[Draft]) -> Saved:
        """Commits the batch, at once or later; an outcome for each claimed draft, in order.

        Seqs rise by one per conversation, without holes, in the order of the drafts. Nothing is
        raised for a single bad draft. Resolves only when it is known what is in the database:
        an error at COMMIT is looked up first. Calls are answered in the order in which they were made.
        """
        ...

    def create_conversations(self, batch: Batch[NewConversation]) -> asyncio.Future[list[Conversation]]:
        """Creates those that do not exist yet; for each the conversation now stored under its id."""
        ...

    async def find_conversation(self, conversation_id: str) -> Conversation | None: ...

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None: ...

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        """The messages directly above seq `after`, ascending."""
        ...

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        """The messages directly below seq `before` (None: the newest), ascending."""
        ...

    async def summary(self, conversation_id: str) -> Summary | None: ...

    async def summaries(self, user_id: str, limit: int) -> list[Summary]:
        """The user's conversations, the one with the newest message first."""
        ...

    async def conversations_of(self, user_id: str) -> list[str]:
        """The ids of all of the user's conversations."""
        ...

    def advance(self, batch: Batch[Advance]) -> asyncio.Future[list[bool]]:
        """Moves positions forward; for each whether it moved."""
        ...

    async def position(self, key: int, position: Position) -> int:
        """0 where it was never moved."""
        ...

    async def unanswered(self, since: int, limit: int) -> list[str]:
        """Ids of conversations with CHAT_MESSAGEs beyond ANSWERED, stamped `since` (ms) or later.

        A store may look at its newest messages only, so that a start does not read the history.
        """
        ...

    async def delete_conversations(self, conversation_ids: list[str]) -> None:
        """Removes them with their messages and positions. Their keys are never given again; a draft for
        one of them is refused.
        """
        ...


class ResponderFailed(Exception):
    """No answer could be made; the turn is tried again later."""


class Responder(Protocol):
    """Who writes the AI's answers."""

    def answer(self, turn: Turn) -> AsyncIterator[str]:
        """The answer's text in pieces; no pieces: it comes another way, or not at all.

        Called for several conversations at a time, and again for the same turn after a fault or a
        crash. May be cancelled at any await. Raises ResponderFailed.
        """
        ...

    async def close(self) -> None: ...


class Socket(Protocol):
    """One device's WebSocket, after its handshake. No method blocks or raises."""

    async def attach(self, user: "SocketUser") -> None:
        """From now on the user hears what comes. The endpoint awaits it last.

        It may return at once, where the server keeps the socket; or at the connection's end.
        """
        ...

    def write(self, frames: bytes) -> None:
        """Hands over whole text frames, as `core.framing.text_frame` makes them."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Sends a close frame behind what was written; the connection ends when the peer answers, or soon."""
        ...

    def pause_reading(self) -> None:
        """Lets TCP slow the sender. What was read already may still come, or wait for `resume_reading`."""
        ...

    def resume_reading(self) -> None: ...

    @property
    def is_writable(self) -> bool:
        """False while the peer reads more slowly than is written; `SocketUser.on_writable` tells the end."""
        ...


class SocketUser(Protocol):
    """Whom a socket reports to, always on the event loop. None of these may raise."""

    def on_text(self, payload: bytes) -> None:
        """One text message, valid UTF-8."""
        ...

    def on_binary(self, payload: bytes) -> None: ...

    def on_writable(self) -> None: ...

    def on_closed(self, code: int, reason: str = "") -> None:
        """The connection is gone; 1006 where it ended without a close frame. Called once.

        `reason` is ours where the peer broke the protocol; the peer's own is not passed on.
        """
        ...
