"""What every Responder does. A test module for one of them inherits the class and makes it."""

import asyncio
from collections.abc import Sequence

from server.core.model import Conversation, StoredMessage
from server.core.turn_rules import Turn
from server.ports import Responder
from server.protocol import MessageType
from tests.support.asynchronous import asynchronous


def turn(*texts: str, history: Sequence[StoredMessage] = (), seq: int = 1, epoch: str = "e") -> Turn:
    room = Conversation(1, "c", "kai", {"id": "ai_alex", "name": "Alex"}, epoch, 0)
    first = len(history) + seq
    messages = [message(first + n, MessageType.CHAT_MESSAGE, text) for n, text in enumerate(texts)]
    return Turn(room, messages, history)


def message(seq: int, type: MessageType, text: str) -> StoredMessage:
    return StoredMessage(seq, f"m{seq}", type, "x", text, 0, None, None)


async def answer(responder: Responder, to: Turn) -> str:
    return "".join([piece async for piece in responder.answer(to)])


class ResponderContract:
    async def make(self) -> Responder:
        raise AssertionError("the test of a responder makes one")

    @asynchronous
    async def test_it_answers_any_text_with_one_that_can_be_saved(self) -> None:
        responder = await self.make()
        for texts in (
            ("Hi",),
            ("?",),
            ("{name} {0} %s",),
            ("\N{SMILING FACE WITH SMILING EYES}" * 2000,),
            ("a", "b", "c"),
        ):
            text = await answer(responder, turn(*texts))
            assert 0 < len(text.strip()) < 4000
            assert "\0" not in text
        await responder.close()

    @asynchronous
    async def test_conversations_are_answered_at_the_same_time(self) -> None:
        responder = await self.make()
        answers = await asyncio.gather(
            *(answer(responder, turn("Hi", epoch=f"e{number}")) for number in range(20))
        )
        assert all(answers)
        await responder.close()

    @asynchronous
    async def test_an_answer_that_is_cancelled_harms_no_other(self) -> None:
        responder = await self.make()
        task = asyncio.create_task(answer(responder, turn("Hi")))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await answer(responder, turn("Hi"))
        await responder.close()
