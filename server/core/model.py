"""What a conversation and a message are inside the server, before and after the store has them."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

from server.protocol import ErrorCode, MessageType


@dataclass(slots=True, frozen=True)
class Conversation:
    """One user's room with one AI. `key` is the store's own short name for it."""

    key: int
    id: str
    user_id: str
    ai: dict[str, Any]  # `id`, `name` and what the application added
    epoch: str  # names this log: another one after the conversation was deleted and made anew
    last_seq: int  # the newest at the time of reading


@dataclass(slots=True, eq=False)
class NewConversation:
    """A conversation to be created. `arrived` is in monotonic seconds, `created_at` in ms since the epoch."""

    id: str
    user_id: str
    ai: dict[str, Any]
    epoch: str
    created_at: int
    arrived: float


@dataclass(slots=True, eq=False)
class Draft:
    """A message on its way into the store, which gives it a seq."""

    conversation_key: int
    message_id: str
    type: MessageType
    sender: str
    data: str
    created_at: int  # milliseconds since the epoch: the server's stamp
    arrived: float  # monotonic seconds: `store.timeout` counts from here
    client_timestamp: str | None = None
    finish: str | None = None
    # Of an AI_RESPONSE, both done by the commit that saves it:
    answers: int | None = None  # the CHAT_MESSAGE up to which it answers: ANSWERED moves there
    undelivered: bool = False  # no device of the user is connected: see TurnStore.undelivered


class StoredMessage(NamedTuple):
    """A message as the history has it."""

    seq: int
    message_id: str
    type: MessageType
    sender: str
    data: str
    created_at: int
    client_timestamp: str | None
    finish: str | None

    @classmethod
    def of(cls, draft: Draft, seq: int) -> "StoredMessage":
        """The draft as it stands in the history once the store has given it a seq."""
        return cls(
            seq,
            draft.message_id,
            draft.type,
            draft.sender,
            draft.data,
            draft.created_at,
            draft.client_timestamp,
            draft.finish,
        )


class Position(StrEnum):
    """How far somebody has got in a conversation, as a seq. Positions only go forward."""

    USER_READ = "user_read"
    AI_READ = "ai_read"
    ANSWERED = "answered"  # the responder needs to answer nothing up to here any more


@dataclass(slots=True, eq=False)
class Advance:
    """A position to be moved to `seq`, if that is forward. `arrived` is in monotonic seconds."""

    conversation_key: int
    position: Position
    seq: int
    arrived: float


class Summary(NamedTuple):
    """A conversation as a list shows it. `unread` counts AI messages beyond `last_read_seq`."""

    conversation: Conversation
    last_message: StoredMessage | None
    last_read_seq: int
    last_ai_read_seq: int
    last_answered_seq: int
    unread: int


class Refused(NamedTuple):
    """Why something was not done."""

    code: ErrorCode
    text: str
    retry_after: float | None = None


class Outcome(NamedTuple):
    """What became of a draft: `saved`, a `duplicate` of what was saved before, or `refused`."""

    seq: int  # 0 where it is refused
    is_new: bool
    refusal: Refused | None  # where it was not saved and never will be (but see OUTCOME_UNKNOWN)

    @classmethod
    def saved(cls, seq: int) -> "Outcome":
        """The message is new, under this seq."""
        return _new_outcome((seq, True, None))

    @classmethod
    def duplicate(cls, seq: int) -> "Outcome":
        """The message had been saved before, under this seq."""
        return cls(seq, False, None)

    @classmethod
    def refused(cls, why: Refused) -> "Outcome":
        """The message is not saved."""
        return cls(0, False, why)


def all_saved(seqs: Iterable[int]) -> list[Outcome]:
    """Makes the outcomes of a batch in which every draft was new, faster than one by one."""
    return list(map(_new_outcome, zip(seqs, repeat(True), repeat(None))))


_new_outcome = partial(tuple.__new__, Outcome)
STORE_UNAVAILABLE = Refused(ErrorCode.STORE_UNAVAILABLE, "The message could not be saved; try again")
OUTCOME_UNKNOWN = Refused(
    ErrorCode.OUTCOME_UNKNOWN, "It is not known yet whether the message was saved; send it again to find out"
)
SHUTTING_DOWN = Refused(ErrorCode.SHUTTING_DOWN, "The server is shutting down; send it again elsewhere")
CANNOT_BE_STORED = Refused(ErrorCode.VALIDATION_FAILED, "data: the message cannot be stored as it is")
CONVERSATION_GONE = Refused(ErrorCode.NOT_FOUND, "The conversation was deleted")
FRAME_FAILED = Refused(ErrorCode.INTERNAL_ERROR, "The server failed to process this frame")
MESSAGE_ID_CONFLICT = Refused(
    ErrorCode.MESSAGE_ID_CONFLICT, "message_id was already used for another message in this conversation"
)


def settle_resend(draft: Draft, stored: StoredMessage) -> Outcome:
    """Judges a message_id that the store already has: the same message again, or another under its name.

    An answer to a turn is the same whatever its text: a model says it differently each time.
    """
    same = (draft.type, draft.sender) == (stored.type, stored.sender) and (
        draft.answers is not None or draft.data == stored.data
    )
    return Outcome.duplicate(stored.seq) if same else Outcome.refused(MESSAGE_ID_CONFLICT)
