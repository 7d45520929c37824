"""Why an AI's message is not whole, in words."""

from typing import Final

from server.protocol import Finish

_WORDS: Final[dict[str, str]] = {
    Finish.CANCELLED: "stopped",
    Finish.LENGTH: "cut off at the model's limit",
    Finish.CONTENT_FILTER: "cut off by the provider's filter",
    Finish.INCOMPLETE: "broken off",
}


def finish_in_words(finish: str | None) -> str:
    """Return what stands behind the text of a message with this `finish`; nothing behind a whole one."""
    return f"({_WORDS.get(finish, finish)})" if finish else ""
