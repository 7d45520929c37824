"""A sender that is faster than the store is slowed down, by itself and by nothing else."""

from server.runtime.rooms.room import MAX_UNANSWERED
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.slow_store import SlowStore
from tests.support.stage import Stage


@asynchronous
async def test_a_connection_with_too_many_unanswered_messages_is_read_again_once_they_are_answered() -> None:
    store = SlowStore()
    stage = Stage(store)
    eager, other = await stage.join("eager"), await stage.join("other", user="ann", conversation="c_ann")
    is_read = list[bool]()
    for number in range(MAX_UNANSWERED):
        eager.say(f"m{number}")
        is_read.append(eager.socket.is_reading)
    assert is_read == [True] * (MAX_UNANSWERED - 1) + [False]
    assert other.socket.is_reading
    await store.commit()
    await stage.settle()
    assert eager.socket.is_reading
    assert len(eager.answers) == MAX_UNANSWERED


@asynchronous
async def test_an_ack_whose_message_is_yet_to_come_outlives_the_end_of_a_replay() -> None:
    stage = Stage(MemoryStore())
    device = await stage.join("phone")
    connection = device.connection
    connection.begin_replay()
    stage.replies.ack(connection, "m8", 8)
    connection.release_acks(7)
    connection.end_replay()
    stage.replies.flush()
    assert device.answers == []
    connection.release_acks(8)
    connection.end_replay()
    stage.replies.ack(connection, "m9", 9)
    stage.replies.flush()
    assert [answer["seq"] for answer in device.answers] == [8, 9]
