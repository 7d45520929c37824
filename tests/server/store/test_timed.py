"""A store that does not answer is unavailable, after as long as it may take and for every question."""

import asyncio
import inspect
from typing import Any

import pytest

from server.core.model import Position
from server.core.owed import DeadLetter, OwedTurn, Pause
from server.ports import MessageStore, StoreUnavailable
from server.store.memory import MemoryStore
from server.store.timed import TimedStore
from tests.support.asynchronous import asynchronous

TIMEOUT = 0.02  # seconds
TURN = OwedTurn(1, "a", 1, 1, last_seq=1)
QUESTIONS: dict[str, tuple[Any, ...]] = {
    "find_message": (1, "m1"),
    "history": (1, 0, 10),
    "history_before": (1, None, 10),
    "find_conversation": ("a",),
    "heads": ([1],),
    "summary": ("a",),
    "summaries": ("kai", 10),
    "conversations_of": ("kai",),
    "position": (1, Position.USER_READ),
    "owed": (0, 10),
    "backlog": (),
    "read_turn": (1, 200, 20),
    "note_attempt": (TURN,),
    "give_up": (TURN, 1),
    "take": (1, 1, 1),
    "cancel_taken": (1, None, [], 1),
    "is_answered": (1, 1),
    "dead_letters": (10,),
    "replay_dead_letters": (None, None),
    "replays": (10,),
    "end_replay": (DeadLetter(1, 1, "a", 1, 1, 1, "", 1),),
    "delete_dead_letters": ("a",),
    "delete_dead_letter": (1,),
    "pause": (Pause(1, "410"),),
    "resume": (),
    "paused": (),
    "undelivered": ((0, 0), 10),
    "news_told": ([(1, 1)],),
}


class SilentStore(MemoryStore):
    """Never answers."""

    def __getattribute__(self, name: str) -> Any:
        return _silence if name in QUESTIONS or name == "is_healthy" else super().__getattribute__(name)


async def _silence(*arguments: Any) -> None:
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("question", QUESTIONS)
@asynchronous
async def test_a_question_that_is_not_answered_in_time_is_store_unavailable(question: str) -> None:
    store = TimedStore(SilentStore(), TIMEOUT)
    async with asyncio.timeout(5):
        with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.02 s"):
            await getattr(store, question)(*QUESTIONS[question])


def test_no_question_of_the_port_is_without_a_deadline() -> None:
    asked = {name for name, member in inspect.getmembers(MessageStore) if inspect.iscoroutinefunction(member)}
    to_their_end = {"open", "close", "delete_conversations"}
    assert asked - to_their_end - {"is_healthy"} == set(QUESTIONS)


@asynchronous
async def test_a_store_that_does_not_answer_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.store.timed._HEALTH_SECONDS", TIMEOUT)
    assert not await TimedStore(SilentStore(), 60.0).is_healthy()
    assert await TimedStore(MemoryStore(), 60.0).is_healthy()
