"""Identifiers: user, conversation, client, session, message and AI ids."""

import re
from typing import Annotated, Final

from pydantic import StringConstraints

MAX_IDENTIFIER_LENGTH: Final = 128
# ASCII without quotes and backslashes: an identifier needs no escaping in JSON, a log line or a URL's query.
IDENTIFIER_PATTERN: Final = r"^[A-Za-z0-9._:@-]+$"

Identifier = Annotated[
    str, StringConstraints(min_length=1, max_length=MAX_IDENTIFIER_LENGTH, pattern=IDENTIFIER_PATTERN)
]

_is_identifier = re.compile(r"[A-Za-z0-9._:@-]{1,128}").fullmatch
_ai_starts = re.compile(r"(?:^|(?<=[^A-Za-z0-9]))ai_").finditer
DEFAULT_AI_ID: Final = "ai"


def is_identifier(text: str | None) -> bool:
    """Whether the text is 1 to 128 characters of `A-Z a-z 0-9 . _ : @ -`."""
    return text is not None and _is_identifier(text) is not None


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
