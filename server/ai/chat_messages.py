"""The messages of a request for a chat completion, also for models whose template is strict."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from server.core.model import StoredMessage
from server.core.turn_rules import Turn
from server.protocol import MessageType

Message = dict[str, str]  # role and content

_OPENING: Final = "..."  # said by nobody: where the AI spoke first, and a user has to
# What servers answer for models with a strict chat template (Mistral, Gemma, Llama 2, DeepSeek's reasoner).
_WANTS_TURNS: Final = re.compile(r"alternat|interleav|successive (user|assistant)", re.IGNORECASE)
_WANTS_NO_SYSTEM: Final = re.compile(r"system (role|message|prompt)s?\b.{0,20}not supported", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Manners:
    """What a model insists on. `takes_turns`: user and assistant alternate, the user first."""

    takes_turns: bool = False
    has_system: bool = True

    def after(self, refusal: str) -> "Manners":
        """Return what is known after a refusal in these words."""
        return Manners(
            self.takes_turns or bool(_WANTS_TURNS.search(refusal)),
            self.has_system and not _WANTS_NO_SYSTEM.search(refusal),
        )


def chat_messages(prompt: str, turn: Turn, manners: Manners) -> list[Message]:
    """Write the persona's prompt, the history and the turn as the model wants them."""
    said = [_message_of(each) for each in (*turn.history, *turn.messages)]
    if manners.takes_turns:
        said = list(_in_turns(said))
    if not prompt:
        return said
    if manners.has_system:
        return [{"role": "system", "content": prompt}, *said]
    return list(_in_turns([{"role": "user", "content": prompt}, *said]))


def _in_turns(messages: Iterable[Message]) -> Iterator[Message]:
    """Join what one side said in a row, a line each."""
    current: Message | None = None
    for message in messages:
        if current is not None and current["role"] == message["role"]:
            current = current | {"content": f"{current['content']}\n{message['content']}"}
            continue
        if current is not None:
            yield current
        elif message["role"] != "user":
            yield {"role": "user", "content": _OPENING}
        current = message
    if current is not None:
        yield current


def _message_of(message: StoredMessage) -> Message:
    is_ai = message.type is MessageType.AI_RESPONSE
    return {"role": "assistant" if is_ai else "user", "content": message.data}
