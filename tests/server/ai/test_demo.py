import asyncio
import time
from dataclasses import replace

from server.ai.demo import DemoResponder
from server.core.model import Conversation, StoredMessage
from server.ports import Responder
from server.protocol import MessageType
from tests.server.ai.responder_contract import ResponderContract, answer, message, turn
from tests.support.asynchronous import asynchronous


class TestDemoResponder(ResponderContract):
    async def make(self) -> Responder:
        return DemoResponder()

    @asynchronous
    async def test_a_turn_that_is_answered_again_gets_the_same_answer(self) -> None:
        responder = DemoResponder()
        assert await answer(responder, turn("Hi")) == await answer(responder, turn("Hi"))

    @asynchronous
    async def test_it_does_not_repeat_itself_while_it_has_something_else_to_say(self) -> None:
        responder = DemoResponder()
        history: list[StoredMessage] = []
        said = set()
        for _ in range(4):
            text = await answer(responder, turn("Do you like pizza", history=history))
            said.add(text)
            history.append(message(len(history) + 1, MessageType.AI_RESPONSE, text))
        assert len(said) == 4
        assert await answer(responder, turn("Do you like pizza", history=history)) in said

    @asynchronous
    async def test_it_knows_its_name_and_what_is_talked_about(self) -> None:
        responder = DemoResponder()
        introductions = await asyncio.gather(
            *(answer(responder, turn("who are you?", seq=n)) for n in range(1, 30))
        )
        assert any("Alex" in text for text in introductions)
        others = await asyncio.gather(*(answer(responder, turn("my dog", seq=n)) for n in range(1, 30)))
        assert set(introductions).isdisjoint(others)

    @asynchronous
    async def test_it_writes_word_by_word_and_takes_three_seconds_at_most(self) -> None:
        to = turn("who are you?")
        chatty = Conversation(1, "c", "kai", {"id": "ai_alex", "name": "Alex " * 100}, "e", 0)
        began, pieces = time.monotonic(), []
        async for piece in DemoResponder().answer(replace(to, conversation=chatty)):
            pieces.append((piece, time.monotonic() - began))
        assert len(pieces) > 100
        assert all(len(piece.split()) == 1 for piece, _ in pieces)
        assert pieces[0][1] < 0.5 < pieces[-1][1] < 3
