"""Long lists are encoded in steps."""

import asyncio
import json

from server.api.lists import list_answer
from tests.support.asynchronous import asynchronous


def _encode(number: int) -> bytes:
    return str(number).encode()


@asynchronous
async def test_while_a_long_list_is_encoded_everybody_else_has_turns() -> None:
    turns = 0

    async def have_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(have_turns())
    answer = await list_answer(range(1000), _encode, has_more=True)
    other.cancel()
    assert json.loads(bytes(answer.body)) == {"items": list(range(1000)), "has_more": True}
    assert turns > 10


@asynchronous
async def test_an_empty_list_is_a_list() -> None:
    answer = await list_answer([], _encode, has_more=False)
    assert json.loads(bytes(answer.body)) == {"items": [], "has_more": False}
    assert answer.headers["content-type"] == "application/json"
