"""A store that forgets at the end of the process: for tests and for trying things out."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from server.core.model import (
    CANNOT_BE_STORED,
    CONVERSATION_GONE,
    Advance,
    Conversation,
    Draft,
    NewConversation,
    Outcome,
    Position,
    StoredMessage,
    Summary,
    settle_resend,
)
from server.core.owed import Backlog, DeadLetter, OwedTurn, Pause, TurnMessages, Undelivered
from server.ports import Batch, Commit, DoneCommit
from server.protocol import MessageType

_AI: Final = MessageType.AI_RESPONSE


@dataclass(slots=True)
class _Log:
    conversation: Conversation
    messages: list[StoredMessage] = field(default_factory=list)
    by_id: dict[str, StoredMessage] = field(default_factory=dict)
    positions: dict[Position, int] = field(default_factory=dict)
    turn: OwedTurn | None = None
    taken: dict[int, int] = field(default_factory=dict)  # until when they can be cancelled, by seq
    undelivered: set[int] = field(default_factory=set)  # seqs
    created_at: int = 0


class MemoryStore:
    """Implements MessageStore. `owes_answers`: a responder is switched on, see TurnStore."""

    backend = "memory"
    lanes = 1

    def __init__(self, owes_answers: bool = False) -> None:
        self._owes_answers = owes_answers
        self._logs: dict[int, _Log] = {}  # by key, ascending
        self._keys: dict[str, int] = {}
        self._next_key = 1
        self._letters: dict[int, DeadLetter] = {}  # by id, ascending
        self._next_letter = 1
        self._due: set[int] = set()  # ids of letters to be sent again
        self._pause: Pause | None = None

    async def open(self) -> None:
        """Nothing to open."""

    async def close(self) -> None:
        """Nothing to close."""

    def when_replaced(self, tell: Callable[[], None]) -> None:
        """Never: one process owns it."""

    async def is_healthy(self) -> bool:
        return True

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        return DoneCommit([self._save(draft) for draft in batch.claim()])

    def create_conversations(self, batch: Batch[NewConversation]) -> Commit[Conversation]:
        return DoneCommit([self._create(new) for new in batch.claim()])

    async def find_conversation(self, conversation_id: str) -> Conversation | None:
        key = self._keys.get(conversation_id)
        return None if key is None else self._snapshot(self._logs[key])

    async def heads(self, keys: list[int]) -> dict[int, int]:
        return {key: len(self._logs[key].messages) for key in keys if key in self._logs}

    async def find_message(self, key: int, message_id: str) -> StoredMessage | None:
        return self._log(key).by_id.get(message_id)

    async def history(self, key: int, after: int, limit: int) -> list[StoredMessage]:
        return self._log(key).messages[after : after + limit]  # seq 1 is at place 0

    async def history_before(self, key: int, before: int | None, limit: int) -> list[StoredMessage]:
        messages = self._log(key).messages
        end = len(messages) if before is None else bisect_left(messages, before, key=lambda m: m.seq)
        return messages[max(0, end - limit) : end]

    async def summary(self, conversation_id: str) -> Summary | None:
        key = self._keys.get(conversation_id)
        return None if key is None else self._summary(self._logs[key])

    async def summaries(self, user_id: str, limit: int) -> list[Summary]:
        logs = [log for log in self._logs.values() if log.conversation.user_id == user_id]
        return [self._summary(log) for log in sorted(logs, key=_newest, reverse=True)[:limit]]

    async def conversations_of(self, user_id: str) -> list[str]:
        return [log.conversation.id for log in self._logs.values() if log.conversation.user_id == user_id]

    def advance(self, batch: Batch[Advance]) -> Commit[bool]:
        return DoneCommit([self._advance(advance) for advance in batch.claim()])

    async def position(self, key: int, position: Position) -> int:
        return self._log(key).positions.get(position, 0)

    async def owed(self, after: int, limit: int, before: int | None = None) -> list[OwedTurn]:
        turns = [log.turn for key, log in self._logs.items() if key > after and log.turn]
        return [turn for turn in turns if before is None or (turn.since < before and turn.next_at < before)][
            :limit
        ]

    async def backlog(self) -> Backlog:
        since = [log.turn.since for log in self._logs.values() if log.turn]
        return Backlog(len(since), min(since, default=None), len(self._letters))

    async def read_turn(self, key: int, limit: int, history: int) -> TurnMessages | None:
        log = self._log(key)
        if (turn := log.turn) is None:
            return None
        chats = [m for m in log.messages[turn.first_seq - 1 : turn.last_seq] if _is_chat(m)]
        others = [m for m in log.messages if m.seq < turn.first_seq or not _is_chat(m)]
        return TurnMessages(chats[:limit], others[-history:] if history else [])

    async def note_attempt(self, turn: OwedTurn) -> bool:
        return self._replace_turn(turn, turn)

    async def give_up(self, turn: OwedTurn, failed_at: int) -> bool:
        last = turn.last_seq
        assert last is not None  # a turn that was tried
        key, id = turn.conversation_key, turn.conversation_id
        if not self._replace_turn(turn, turn):
            return False
        self._letters[self._next_letter] = DeadLetter(
            self._next_letter, key, id, turn.first_seq, last, turn.attempts, turn.last_error, failed_at
        )
        self._next_letter += 1
        return self._move(self._logs[key], Position.ANSWERED, last)

    async def take(self, key: int, seq: int, until: int) -> bool:
        if (log := self._logs.get(key)) is None:
            return False
        is_awaited = self._await_no_longer(log, seq)
        if not (self._move(log, Position.ANSWERED, seq) or is_awaited):
            return False
        log.taken[seq] = until
        return True

    async def cancel_taken(self, key: int, seq: int | None, kept: list[int], now: int) -> list[int]:
        taken = self._log(key).taken
        found = [it for it, until in taken.items() if until > now and seq in (None, it) and it not in kept]
        for it in found:
            del taken[it]
        return found

    async def is_answered(self, key: int, seq: int) -> bool:
        return self._is_answered(self._log(key), seq)

    async def dead_letters(self, limit: int) -> list[DeadLetter]:
        return list(reversed(self._letters.values()))[:limit]

    async def replay_dead_letters(self, conversation_id: str | None, since: int | None) -> int:
        found = [
            letter.id
            for letter in self._letters.values()
            if conversation_id in (None, letter.conversation_id) and letter.failed_at >= (since or 0)
        ]
        self._due.update(found)
        return len(found)

    async def replays(self, limit: int) -> list[DeadLetter]:
        return [letter for letter in self._letters.values() if letter.id in self._due][:limit]

    async def end_replay(self, letter: DeadLetter) -> None:
        self._due.discard(letter.id)
        if letter.id in self._letters:
            self._letters[letter.id] = letter

    async def delete_dead_letters(self, conversation_id: str) -> int:
        found = [letter.id for letter in self._letters.values() if letter.conversation_id == conversation_id]
        for id in found:
            self._drop_letter(id)
        return len(found)

    async def delete_dead_letter(self, id: int) -> None:
        self._drop_letter(id)

    async def pause(self, pause: Pause) -> None:
        self._pause = self._pause or pause

    async def resume(self) -> None:
        self._pause = None

    async def paused(self) -> Pause | None:
        return self._pause

    async def undelivered(self, after: tuple[int, int], limit: int) -> list[Undelivered]:
        found = [
            Undelivered(key, log.conversation.id, log.messages[seq - 1])
            for key, log in self._logs.items()
            for seq in sorted(log.undelivered)
            if (key, seq) > after
        ]
        return found[:limit]

    async def news_told(self, messages: list[tuple[int, int]]) -> None:
        for key, seq in messages:
            self._log(key).undelivered.discard(seq)

    async def delete_conversations(self, conversation_ids: list[str]) -> None:
        for conversation_id in conversation_ids:
            if (key := self._keys.pop(conversation_id, None)) is not None:
                del self._logs[key]
                await self.delete_dead_letters(conversation_id)

    def _log(self, key: int) -> _Log:
        """An empty one for a conversation that was deleted."""
        return self._logs.get(key) or _Log(Conversation(key, "", "", {}, "", 0))

    def _save(self, draft: Draft) -> Outcome:
        if (log := self._logs.get(draft.conversation_key)) is None:
            return Outcome.refused(CONVERSATION_GONE)
        if stored := log.by_id.get(draft.message_id):
            return self._settle_resend(log, draft, stored)
        if draft.answers is not None and self._is_answered(log, draft.answers):
            return Outcome.duplicate(0)
        if not _is_storable(draft.data):
            return Outcome.refused(CANNOT_BE_STORED)
        message = StoredMessage.of(draft, len(log.messages) + 1)
        log.messages.append(message)
        log.by_id[draft.message_id] = message
        if self._owes_answers or draft.type is _AI:
            self._do_duties(log, draft, message)
        return Outcome.saved(message.seq)

    def _settle_resend(self, log: _Log, draft: Draft, stored: StoredMessage) -> Outcome:
        outcome = settle_resend(draft, stored)
        if draft.answers is not None and outcome.refusal is None:
            self._move(log, Position.ANSWERED, draft.answers)
        return outcome

    def _do_duties(self, log: _Log, draft: Draft, message: StoredMessage) -> None:
        if self._owes_answers and _is_chat(message) and log.turn is None:
            log.turn = _turn_of(log, message)
        if draft.undelivered:
            log.undelivered.add(message.seq)
        if draft.answers is not None and not self._move(log, Position.ANSWERED, draft.answers):
            self._await_no_longer(log, draft.answers)

    def _is_answered(self, log: _Log, seq: int) -> bool:
        is_awaited = seq in log.taken or bool(self._letters_of(log, seq))
        return seq <= log.positions.get(Position.ANSWERED, 0) and not is_awaited

    def _await_no_longer(self, log: _Log, seq: int) -> bool:
        """Whether the answer was awaited."""
        found = self._letters_of(log, seq)
        for id in found:
            self._drop_letter(id)
        return log.taken.pop(seq, None) is not None or bool(found)

    def _letters_of(self, log: _Log, seq: int) -> list[int]:
        name = (log.conversation.key, seq)
        return [it.id for it in self._letters.values() if (it.conversation_key, it.last_seq) == name]

    def _drop_letter(self, id: int) -> None:
        self._letters.pop(id, None)
        self._due.discard(id)

    def _create(self, new: NewConversation) -> Conversation:
        if (key := self._keys.get(new.id)) is None:
            key = self._keys[new.id] = self._next_key
            self._next_key += 1
            conversation = Conversation(key, new.id, new.user_id, new.ai, new.epoch, last_seq=0)
            self._logs[key] = _Log(conversation, created_at=new.created_at)
        return self._snapshot(self._logs[key])

    def _advance(self, advance: Advance) -> bool:
        if (log := self._logs.get(advance.conversation_key)) is None:
            return False
        return self._move(log, advance.position, advance.seq)

    def _move(self, log: _Log, position: Position, seq: int) -> bool:
        """Moves a position forward, with what that ends; whether it moved."""
        if seq <= log.positions.get(position, 0):
            return False
        log.positions[position] = seq
        if position is Position.ANSWERED and log.turn is not None and log.turn.first_seq <= seq:
            following = next(filter(_is_chat, log.messages[seq:]), None)
            log.turn = None if following is None else _turn_of(log, following)
        return True

    def _replace_turn(self, old: OwedTurn, new: OwedTurn) -> bool:
        """Changes a turn that is still owed; whether it is."""
        log = self._log(old.conversation_key)
        if log.turn is None or log.turn.first_seq != old.first_seq:
            return False
        log.turn = new
        return True

    def _snapshot(self, log: _Log) -> Conversation:
        return replace(log.conversation, last_seq=len(log.messages))

    def _summary(self, log: _Log) -> Summary:
        read, ai_read, answered = (log.positions.get(position, 0) for position in Position)
        unread = sum(1 for m in log.messages[read:] if not _is_chat(m))
        newest = log.messages[-1] if log.messages else None
        return Summary(self._snapshot(log), newest, read, ai_read, answered, unread)


def _newest(log: _Log) -> int:
    return log.messages[-1].created_at if log.messages else log.created_at


def _is_chat(message: StoredMessage) -> bool:
    return message.type is MessageType.CHAT_MESSAGE


def _turn_of(log: _Log, first: StoredMessage) -> OwedTurn:
    return OwedTurn(log.conversation.key, log.conversation.id, first.seq, first.created_at)


def _is_storable(text: str) -> bool:
    """Whether it is Unicode: half a surrogate pair is not."""
    try:
        text.encode()
    except UnicodeError:
        return False
    return True
