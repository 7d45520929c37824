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
from server.core.owed import Backlog, DeadLetter, OwedTurn, Pause, TurnMessages, Undelivered

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

    lanes: int
    """How many saves may be under way at the same time. Those have no conversation in common."""

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        """Commits the drafts.

        Seqs rise by one per conversation, without holes, in the order of the drafts. Nothing is
        raised for a single bad draft. Is over only when it is known what is in the database:
        an error at COMMIT is looked up first. Calls for a conversation are over in the order in
        which they were made.

        A draft that answers a turn moves ANSWERED in the same commit. Where that is there already, it is
        saved if the turn's answer is still awaited (see TurnStore), which it is no longer then. Else it is
        not saved but a duplicate: of what is stored under its id, or with seq 0 where the turn was
        answered under another id, or by an advance.
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

    async def heads(self, keys: list[int]) -> dict[int, int]:
        """Reads the newest seq of each of the conversations; those that are gone are left out."""
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
        """Makes them unknown, in a few short commits; all that belongs to them is removed afterwards, by
        steps beside other work and also over a restart. Their keys are never given again; a draft for one
        of them is refused. What was made unknown before an error stays so.
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


class TurnStore(Protocol):
    """What is owed: answers, and news of what no device has seen. Read from here, never from memory alone.

    Where the store is told that a responder is switched on, the commit that saves a CHAT_MESSAGE of a
    conversation that owes nothing makes it owe an answer, from that message on; so what was saved before is
    owed nothing. A conversation owes one turn at a time. ANSWERED moving forward, by `advance` or with an
    answer, ends the turn in the same commit, or leaves what is beyond as the next one, not yet tried.

    A turn that counts as answered may still await its answer: it was taken by a service that answers later,
    and nobody has cancelled it since; or it is a dead letter, which goes when its answer is saved.

    Methods raise StoreUnavailable; then a change may have been made all the same, and may be made again.
    """

    async def owed(self, after: int, limit: int, before: int | None = None) -> list[OwedTurn]:
        """Reads the turns of conversations whose key is above `after`, ascending by it.

        `before` (ms since the epoch): only those that began, and might be tried again, before that time.
        """
        ...

    async def backlog(self) -> Backlog:
        """Counts what is owed."""
        ...

    async def read_turn(self, key: int, limit: int, history: int) -> TurnMessages | None:
        """Reads a conversation's turn: the oldest `limit` messages of it, and the last `history` others.

        None where nothing is owed.
        """
        ...

    async def note_attempt(self, turn: OwedTurn) -> bool:
        """Writes the turn's extent, attempts, next time and error; False where it is not owed any more."""
        ...

    async def give_up(self, turn: OwedTurn, failed_at: int) -> bool:
        """Makes a turn whose extent is fixed a dead letter, and counts it as answered; False as above."""
        ...

    async def take(self, key: int, seq: int, until: int) -> bool:
        """Counts a turn, of which `seq` is the last, as answered, though its answer is awaited.

        `until` (ms since the epoch) it can be cancelled. It is no dead letter any more, if it was one. False
        where it was answered meanwhile.
        """
        ...

    async def cancel_taken(self, key: int, seq: int | None, kept: list[int], now: int) -> list[int]:
        """Awaits no answer any more to a taken turn that can be cancelled; the last seqs of those that were.

        `seq` None: to none of the conversation's but those that end with one of `kept`.
        """
        ...

    async def is_answered(self, key: int, seq: int) -> bool:
        """Tells whether no answer to the turn, of which `seq` is the last, would be saved under a new id."""
        ...

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Reads them, the newest first."""
        ...

    async def replay_dead_letters(self, conversation_id: str | None, since: int | None) -> int:
        """Marks those of a conversation, those failed since (ms), or all to be sent again; how many."""
        ...

    async def replays(self, limit: int) -> list[DeadLetter]:
        """Reads the dead letters that are marked to be sent again, the oldest first."""
        ...

    async def end_replay(self, letter: DeadLetter) -> None:
        """Keeps a dead letter that failed again, with its new attempts, error and time, and unmarks it."""
        ...

    async def delete_dead_letters(self, conversation_id: str) -> int:
        """Removes those of a conversation; how many those were."""
        ...

    async def delete_dead_letter(self, id: int) -> None:
        """Removes one, which was taken."""
        ...

    async def pause(self, pause: Pause) -> None:
        """Stops all deliveries to the AI service, over a restart too; a pause that is there stays."""
        ...

    async def resume(self) -> None:
        """Ends the pause."""
        ...

    async def paused(self) -> Pause | None:
        """Reads the pause."""
        ...

    async def undelivered(self, after: tuple[int, int], limit: int) -> list[Undelivered]:
        """Reads messages whose news is still to be told, ascending by key and seq, above `after`."""
        ...

    async def news_told(self, messages: list[tuple[int, int]]) -> None:
        """Unmarks messages that were undelivered, by conversation key and seq."""
        ...


class MessageStore(MessageLog, ConversationStore, PositionStore, TurnStore, Protocol):
    """All parts, in one database."""

    backend: str  # as /stats shows it

    async def open(self) -> None:
        """Connects to the database and brings its schema up to date. Raises StoreUnavailable."""
        ...

    async def close(self) -> None:
        """Ends once all that was asked for is done."""
        ...

    def when_replaced(self, tell: Callable[[], None]) -> None:
        """From now on `tell` is called when another database takes over, with new epochs in it.

        It is called before anything is saved or read there.
        """
        ...

    async def is_healthy(self) -> bool:
        """Tells whether the database answers; never raises."""
        ...
