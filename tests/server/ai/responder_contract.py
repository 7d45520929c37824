"""What every Responder does. A test module for one of them inherits the class and makes it."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from server.core.model import Conversation, StoredMessage
from server.core.turn_rules import Turn
from server.ports import Responder
from server.protocol import Finish, MessageType
from tests.support.asynchronous import asynchronous


def turn(*texts: str, history: Sequence[StoredMessage] = (), seq: int = 1, epoch: str = "e") -> Turn:
    room = Conversation(1, "c", "kai", {"id": "ai_alex", "name": "Alex"}, epoch, 0)
    first = len(history) + seq
    messages = [message(first + n, MessageType.CHAT_MESSAGE, text) for n, text in enumerate(texts)]
    return Turn(room, messages, history)


def message(seq: int, type: MessageType, text: str) -> StoredMessage:
    return StoredMessage(seq, f"m{seq}", type, "x", text, 0, None, None)


async def pieces_of(responder: Responder, to: Turn) -> list[str | Finish]:
    async with aclosing(responder.answer(to)) as pieces:
        return [piece async for piece in pieces]


async def answer(responder: Responder, to: Turn) -> str:
    return "".join(piece for piece in await pieces_of(responder, to) if not isinstance(piece, Finish))


class ResponderContract:
    async def make(self) -> Responder:
        raise AssertionError("the test of a responder makes one")

    @asynchronous
    async def test_it_answers_any_text_with_one_that_can_be_saved(self) -> None:
        responder = await self.make()
        turns = [
            turn(*texts)
            for texts in (
                ("Hi",),
                ("?",),
                ("{name} {0} %s",),
                ("\N{SMILING FACE WITH SMILING EYES}" * 2000,),
                ("a", "b", "c"),
            )
        ]
        for text in await asyncio.gather(*(answer(responder, it) for it in turns)):
            assert 0 < len(text.strip()) < 4000
            assert "\0" not in text
        await responder.close()

    @asynchronous
    async def test_it_answers_in_pieces_none_of_them_empty_and_a_finish_only_at_the_end(self) -> None:
        responder = await self.make()
        pieces = await pieces_of(responder, turn("Tell me a long story, please"))
        assert len(pieces) > 1
        assert all(pieces)
        assert not any(isinstance(piece, Finish) for piece in pieces[:-1])
        assert pieces[0] == pieces[0].lstrip()
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

    @asynchronous
    async def test_an_answer_that_nobody_reads_to_its_end_harms_no_other(self) -> None:
        responder = await self.make()
        async with aclosing(responder.answer(turn("Tell me a long story, please"))) as pieces:
            assert await anext(pieces)
        assert await answer(responder, turn("Hi"))
        await responder.close()
