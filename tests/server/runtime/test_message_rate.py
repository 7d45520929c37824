"""Messages over the rate of their user."""

from server.core.rate_limit import RateLimiter
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.stage import Stage


@asynchronous
async def test_a_message_over_the_rate_of_its_user_is_nacked_with_the_time_to_wait() -> None:
    stage = Stage(MemoryStore(), RateLimiter(2, window=60.0))
    phone, tablet = await stage.join("phone"), await stage.join("tablet")
    stranger = await stage.join("phone", user="ann", conversation="c_ann")
    phone.say("m1")
    tablet.say("m2")
    phone.say("m3")
    stranger.say("m1")
    await stage.settle()
    (nack,) = [answer for answer in phone.answers if answer["message_id"] == "m3"]
    assert nack["type"] == "NACK"
    assert (nack["error"]["code"], nack["error"]["retryable"]) == ("rate_limited", True)
    assert 59 < nack["error"]["retry_after"] <= 60
    assert stranger.answers[-1]["type"] == "ACK"
    assert (phone.seen, tablet.seen) == ([1, 2], [1, 2])
