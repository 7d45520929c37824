"""Calls to the AI service come through a gate: in order, none in a pause, one at a time while it is down."""

import asyncio

from server.core.breaker import Breaker
from server.core.retrying import Backoff, FailureKind
from server.ports import ResponderFailed
from server.runtime.answers.gate import Gate, Slot, Ticket
from tests.support.asynchronous import asynchronous

DOWN = ResponderFailed("nobody is there", FailureKind.UNREACHABLE)
REFUSED = ResponderFailed("500", FailureKind.UPSTREAM_ERROR)


def opened(most: int = 2) -> Gate:
    gate = Gate(Breaker(most, Backoff(first=0.02)))
    gate.open()
    return gate


async def slot_of(ticket: Ticket) -> Slot:
    async with asyncio.timeout(5):
        slot = await ticket
    assert slot is not None
    return slot


@asynchronous
async def test_nobody_comes_through_a_gate_that_is_shut_and_those_who_are_in_go_on() -> None:
    gate = opened()
    first = await slot_of(gate.enter())
    gate.shut()
    waiting = gate.enter()
    await asyncio.sleep(0)
    assert not waiting.done()
    first.over()
    assert not waiting.done()
    gate.open()
    assert waiting.done()


@asynchronous
async def test_the_end_of_a_call_lets_the_next_one_in_and_a_second_end_nobody() -> None:
    gate = opened(most=1)
    first, second, third = await slot_of(gate.enter()), gate.enter(), gate.enter()
    first.over()
    first.over()
    assert (second.done(), third.done()) == (True, False)


@asynchronous
async def test_who_withdraws_goes_on_without_a_call_and_holds_up_nobody() -> None:
    gate = opened(most=1)
    first, second, third = await slot_of(gate.enter()), gate.enter(), gate.enter()
    Gate.withdraw(second)
    assert await second is None
    first.over()
    assert third.done()


@asynchronous
async def test_while_the_service_is_down_a_probe_comes_through_by_itself_after_the_pause() -> None:
    gate = opened()
    told: list[int] = []
    gate.when_down(lambda: told.append(gate.failures))
    slot, other = await slot_of(gate.enter()), await slot_of(gate.enter())
    assert slot.failed(DOWN)
    slot.over()
    waiting = [gate.enter(), gate.enter()]
    assert (gate.state, gate.failures, told) == ("open", 1, [1])
    assert gate.next_probe > 0
    assert [ticket.done() for ticket in waiting] == [False, False]
    probe = await slot_of(waiting[0])
    assert not waiting[1].done()
    probe.answered()
    assert gate.failures == 0
    other.over()


@asynchronous
async def test_a_service_that_refuses_a_turn_is_up() -> None:
    gate = opened(most=4)
    slot = await slot_of(gate.enter())
    assert slot.failed(DOWN)
    slot.over()
    probe = await slot_of(gate.enter())
    assert not probe.failed(REFUSED)
    assert gate.failures == 0
    assert gate.state == "half_open"
