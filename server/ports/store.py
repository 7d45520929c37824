"""Declares the store: the log of messages, the conversations and how far each side has got in them."""

import asyncio
import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, Protocol, TypeVar

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

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
Tell = Callable[[list[T], BaseException | None], None]


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
        """Returns the items that are left; from now on their outcome is the store's."""
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


class Commit(Protocol[T]):
    """One transaction's results: one for each claimed item, in their order. May be awaited instead."""

    def when_over(self, tell: Tell[T]) -> None:
        """Calls `tell` on the event loop, once: with the results, or with what the store raised."""
        ...

    def __await__(self) -> Generator[Any, None, list[T]]: ...


class DoneCommit(Generic[T]):
    """A transaction that was over when the store's method returned: whoever asks is told at once.

    This is the fast path: an answer waits for no further turn of the event loop.
    """

    __slots__ = ("_results",)

    def __init__(self, results: list[T]) -> None:
        self._results = results

    def when_over(self, tell: Tell[T]) -> None:
        tell(self._results, None)

    def __await__(self) -> Generator[Any, None, list[T]]:
        yield from ()  # waits for nothing
        return self._results


class PendingCommit(Generic[T]):
    """A transaction that runs elsewhere, or waits for its turn; `future` has its results."""

    __slots__ = ("_future",)

    def __init__(self, future: asyncio.Future[list[T]]) -> None:
        self._future = future

    def when_over(self, tell: Tell[T]) -> None:
        def over(future: asyncio.Future[list[T]]) -> None:
            fault = future.exception()
            tell([] if fault else future.result(), fault)

        self._future.add_done_callback(over)

    def __await__(self) -> Generator[Any, None, list[T]]:
        return self._future.__await__()


class MessageLog(Protocol):
    """The messages of all conversations. Only the store gives out `seq`, inside the commit.

    What is awaited raises StoreUnavailable when the database does not answer in time.
    """

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        """Commits the drafts.

        Seqs rise by one per conversation, without holes, in the order of the drafts. Nothing is
        raised for a single bad draft. Is over only when it is known what is in the database:
        an error at COMMIT is looked up first. Calls are over in the order in which they were made.
        """
        ...

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
        """Finds a message by its id."""
        ...

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        """Reads the messages directly above seq `after`, ascending."""
        ...

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        """Reads the messages directly below seq `before` (None: the newest), ascending."""
        ...


class ConversationStore(Protocol):
    """The conversations. What is awaited raises StoreUnavailable, as the log's methods do."""

    def create_conversations(self, batch: Batch[NewConversation]) -> Commit[Conversation]:
        """Creates those that do not exist yet; for each the conversation now stored under its id."""
        ...

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        """Finds a conversation, with its newest seq, by its id."""
        ...

    async def summary(self, conversation_id: str) -> Summary | None:
        """Reads a conversation as a list shows it."""
        ...

    async def summaries(self, user_id: str, limit: int) -> list[Summary]:
        """Reads the user's conversations, the one with the newest message first."""
        ...

    async def conversations_of(self, user_id: str) -> list[str]:
        """Reads the ids of all of the user's conversations."""
        ...

    async def delete_conversations(self, conversation_ids: list[str]) -> None:
        """Removes them with all that belongs to them. Their keys are never given again; a draft for
        one of them is refused.
        """
        ...


class PositionStore(Protocol):
    """How far somebody has got in a conversation. Raises as the other parts do."""

    def advance(self, batch: Batch[Advance]) -> Commit[bool]:
        """Moves positions forward; for each whether it moved."""
        ...

    async def position(self, key: int, position: Position) -> int:
        """Reads a position; 0 where it was never moved."""
        ...

    async def unanswered(self, since: int, limit: int) -> list[str]:
        """Ids of conversations with CHAT_MESSAGEs beyond ANSWERED, stamped `since` (ms) or later.

        A store may look at its newest messages only, so that a start does not read the history.
        """
        ...


class MessageStore(MessageLog, ConversationStore, PositionStore, Protocol):
    """All parts, in one database."""

    backend: str  # as /stats shows it

    async def open(self) -> None:
        """Connects to the database and brings its schema up to date. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Ends once all that was asked for is done."""
        ...

    async def is_healthy(self) -> bool:
        """Tells whether the database answers; never raises."""
        ...
