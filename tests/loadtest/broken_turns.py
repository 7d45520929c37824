"""The real server, whose turns are broken on purpose in one way for each conversation: run it as a program.

Conversation number N (ids end with it) is broken as BREAKAGES[N % len(BREAKAGES)] says.
"""

import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any, Final

from chatctl.__main__ import main
from server.ai import webhook
from server.ai.webhook import WebhookService
from server.core import webhooks
from server.core.model import Refused
from server.core.turn_rules import Turn
from server.ports import ResponderFailed
from server.protocol import Finish
from server.runtime.answers.ai_speech import AISpeech, Spoken
from server.runtime.answers.dialogue import Dialogue
from server.runtime.answers.turns import Turns
from server.runtime.rooms.room import Room

BREAKAGES: Final = (
    "none",
    "loses",
    "doubles",
    "reorders",
    "alters",
    "answers twice",
    "answers otherwise",
    "regrows",
)
BROKEN_AT: Final = 3  # the turn of each conversation that goes wrong

_answer, _say, _fix = WebhookService.answer, AISpeech.say, Turns._fix
_turns: Counter[str] = Counter()
_tries: Counter[tuple[str, int]] = Counter()
_held: dict[str, Turn] = {}


def breakage(conversation_id: str) -> str:
    return BREAKAGES[int(conversation_id.rpartition("-")[2]) % len(BREAKAGES)]


async def answer(self: WebhookService, turn: Turn) -> AsyncGenerator[str | Finish, None]:
    conversation = turn.conversation.id
    _tries[conversation, turn.last_seq] += 1
    _turns[conversation] += _tries[conversation, turn.last_seq] == 1
    how, is_now = breakage(conversation), _turns[conversation] == BROKEN_AT
    if how == "loses" and is_now:
        return
    if how == "reorders" and is_now:
        _held[conversation] = turn
        return
    if how == "alters" and is_now:
        last = turn.messages[-1]
        turn = replace(turn, messages=[*turn.messages[:-1], last._replace(data="something else")])
    async with aclosing(_answer(self, turn)) as pieces:
        async for piece in pieces:
            yield "!" if how == "answers otherwise" and is_now else piece
    if (held := _held.pop(conversation, None)) is not None:
        await _post(self, held)
    if how == "doubles" and is_now:
        await _post(self, replace(turn, is_replayed=True))


async def _post(service: WebhookService, turn: Turn) -> None:
    """Until the service takes it."""
    while True:
        with suppress(ResponderFailed):
            async with aclosing(_answer(service, turn)) as pieces:
                async for _ in pieces:
                    pass
            return


def turn_id(turn: Turn) -> str:
    return webhooks.turn_id(turn) + ("_again" if turn.is_replayed else "")


async def say(
    self: AISpeech, room: Room, message_id: str, text: str, *arguments: Any, **more: Any
) -> Spoken | Refused:
    said = await _say(self, room, message_id, text, *arguments, **more)
    if breakage(room.conversation_id) == "answers twice":
        await _say(self, room, f"{message_id}-2", text)
    return said


async def fix(self: Turns, dialogue: Dialogue, turn: Turn) -> None:
    if breakage(dialogue.room.conversation_id) != "regrows":
        await _fix(self, dialogue, turn)


if __name__ == "__main__":
    WebhookService.answer = answer  # type: ignore[method-assign]
    webhook.turn_id = turn_id  # type: ignore[attr-defined]  # it is imported there
    AISpeech.say = say  # type: ignore[method-assign]
    Turns._fix = fix  # type: ignore[method-assign]
    sys.exit(main())
