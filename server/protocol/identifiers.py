"""Identifiers: user, conversation, client, session, message and AI ids."""

import re
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints
from pydantic_core import PydanticCustomError

from server.protocol.types import SERVER_SENDER

MAX_IDENTIFIER_LENGTH: Final = 128
# ASCII without quotes and backslashes: an identifier needs no escaping in JSON, a log line or a URL's query.
# `.` and `..` are no identifiers: in a URL they are steps of its path.
_PATTERN: Final = r"\.{0,2}[A-Za-z0-9_:@-][A-Za-z0-9._:@-]*|\.{3}[A-Za-z0-9._:@-]*"
IDENTIFIER_PATTERN: Final = f"^(?:{_PATTERN})$"
# What is told of a text that does not match it.
IDENTIFIER_RULE: Final = "may have letters, digits and . _ : @ - only, and not be . or .."

Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_IDENTIFIER_LENGTH, pattern=IDENTIFIER_PATTERN)
]


def _not_server(name: str) -> str:
    if name == SERVER_SENDER:
        raise PydanticCustomError("reserved_name", "is the server's own name")
    return name


# Of a user or an AI.
Party = Annotated[Identifier, AfterValidator(_not_server)]

_is_identifier = re.compile(_PATTERN).fullmatch
_is_answer_id = re.compile(r"answer-([0-9]+)(?:-[0-9]+)?").fullmatch
_ai_starts = re.compile(r"(?:^|(?<=[^A-Za-z0-9]))ai_").finditer
DEFAULT_AI_ID: Final = "ai"


def is_identifier(text: str | None) -> bool:
    """Return whether the text is 1 to 128 characters of `A-Z a-z 0-9 . _ : @ -`, but not `.` or `..`."""
    return text is not None and len(text) <= MAX_IDENTIFIER_LENGTH and _is_identifier(text) is not None


def is_party(text: str | None) -> bool:
    """Return whether the text can name a user or an AI: an identifier, but not the server's own name."""
    return is_identifier(text) and text != SERVER_SENDER


def answer_id(seq: int, number: int = 1) -> str:
    """Name an answer to the turn of which `seq` is the last; after text was aborted the next number."""
    return f"answer-{seq}" if number == 1 else f"answer-{seq}-{number}"


def answered_seq_of(message_id: str) -> int | None:
    """Return the seq of the turn that an id of the server's answers: 12 of `answer-12` and `answer-12-2`."""
    found = _is_answer_id(message_id)
    return None if found is None else int(found[1])


def ai_id_of(conversation_id: str) -> str:
    """The AI's id in a conversation that was created by joining it.

    The part from the last `ai_` that stands at the start or after a character that is no letter
    or digit: `conv_kai_ai_alex` has `ai_alex`; else `ai`.
    """
    starts = [match.start() for match in _ai_starts(conversation_id)]
    return conversation_id[starts[-1] :] if starts else DEFAULT_AI_ID


def ai_name_of(ai_id: str) -> str:
    """What an AI is called where nobody has named it: `ai_alex` is Alex."""
    name = ai_id.removeprefix("ai_").replace("_", " ").strip()
    return "AI" if name in ("", DEFAULT_AI_ID) else name.title()
