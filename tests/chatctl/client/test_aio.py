"""The asyncio client against a real WebSocket server that follows a script."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from chatctl.client.aio import ChatClient
from chatctl.client.backoff import Backoff
from chatctl.client.errors import HistoryUnavailable, MessageInDoubt, MessageRefused, SessionEnded
from chatctl.client.events import Ended, Event, Message, Missing, Reconnecting, State, Unreadable, Welcomed
from server.protocol import CloseCode, ErrorCode
from tests.support.asynchronous import asynchronous
from tests.support.frames import ack, chat, frame, nack, welcome
from tests.support.scripted_server import Script, ScriptedServer, Visit, scripted_server

QUICK = Backoff(base=0.02, cap=0.1, full_server=0.02)


def client_of(server: ScriptedServer, **options: Any) -> ChatClient:
    return ChatClient(server.url, "u", "c", **{"client_id": "d", "backoff": QUICK, **options})


async def first(client: ChatClient, wanted: Callable[[Event], bool]) -> Event:
    async for event in client:
        if wanted(event):
            return event
    raise AssertionError("the events ended")


async def all_events(client: ChatClient) -> list[Event]:
    return [event async for event in client]


async def until_messages(client: ChatClient, count: int) -> list[Event]:
    """All events up to the `count`th message."""
    events: list[Event] = []
    async for event in client:
        events.append(event)
        if len(seqs(events)) == count:
            break
    return events


def seqs(events: list[Event]) -> list[int]:
    return [event.seq for event in events if isinstance(event, Message)]


def is_a(*kinds: type) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, kinds)


async def acknowledge_all(visit: Visit) -> None:
    await visit.say(welcome())
    seq = 0
    while True:
        heard = await visit.hear()
        if heard["type"] == "CHAT_MESSAGE":
            seq += 1
            await visit.say(chat(seq, heard["message_id"]), ack(heard["message_id"], seq))


async def idle(visit: Visit) -> None:
    await visit.say(welcome())
    await visit.wait_until_closed()


def close_with(code: int, *frames: str) -> Script:
    async def script(visit: Visit) -> None:
        await visit.say(*frames)
        await visit.socket.close(code, "because")

    return script


async def cut_off(visit: Visit) -> None:
    await visit.say(welcome())
    visit.socket.transport.abort()


# -- messages ----------------------------------------------------------------------------------------


@asynchronous
async def test_a_sent_message_resolves_with_its_ack() -> None:
    async with scripted_server(acknowledge_all) as server, client_of(server) as client:
        delivered = await client.send("hello", message_id="m")

        assert (delivered.seq, delivered.message.message_id) == (1, "m")


@asynchronous
async def test_messages_sent_at_once_are_sent_in_order_and_each_gets_its_own_answer() -> None:
    async with scripted_server(acknowledge_all) as server, client_of(server) as client:
        sendings = [client.send(str(number)) for number in range(100)]

        assert [(await sending).seq for sending in sendings] == list(range(1, 101))


@asynchronous
async def test_a_nack_raises_with_code_retryable_and_retry_after() -> None:
    async def script(visit: Visit) -> None:
        await visit.say(welcome())
        heard = await visit.hear()
        await visit.say(nack(heard["message_id"], ErrorCode.RATE_LIMITED, 1.5))
        again = await visit.hear()
        assert again["message_id"] != heard["message_id"]
        await visit.say(ack(again["message_id"], 1))
        await visit.wait_until_closed()

    async with scripted_server(script) as server, client_of(server) as client:
        with pytest.raises(MessageRefused) as raised:
            await client.send("hello")

        assert (raised.value.code, raised.value.retryable, raised.value.retry_after) == (
            "rate_limited",
            True,
            1.5,
        )
        assert (await client.retry(raised.value.message)).seq == 1


@asynchronous
async def test_an_unanswered_message_is_resent_once_and_then_raises() -> None:
    heard = []

    async def deaf(visit: Visit) -> None:
        await visit.say(welcome())
        while True:
            heard.append((await visit.hear())["message_id"])

    async with scripted_server(deaf) as server, client_of(server, ack_timeout=0.1) as client:
        with pytest.raises(MessageInDoubt) as raised:
            await client.send("hello", message_id="m")

        assert raised.value.code == "timeout"
        assert heard == ["m", "m"]


@asynchronous
async def test_a_message_whose_connection_is_lost_is_sent_again_on_the_next_one() -> None:
    async def swallow(visit: Visit) -> None:
        await visit.say(welcome())
        await visit.hear()
        visit.socket.transport.abort()

    async with scripted_server(swallow, acknowledge_all) as server, client_of(server) as client:
        assert (await client.send("hello", message_id="m")).message.message_id == "m"


@asynchronous
async def test_cancelling_the_wait_does_not_take_the_message_back() -> None:
    async with scripted_server(acknowledge_all) as server, client_of(server) as client:
        sending = client.send("hello")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sending, 0)

        assert (await sending).seq == 1


@asynchronous
async def test_closing_fails_what_is_in_flight_and_ends_the_events() -> None:
    async with scripted_server(idle) as server:
        async with client_of(server) as client:
            sending = client.send("hello")

        with pytest.raises(MessageInDoubt, match="connection_lost"):
            await sending
        events = await all_events(client)
        assert isinstance(events[0], Welcomed)
        assert [event for event in events if isinstance(event, Ended)] == events[-1:]
        assert client.session.state is State.CLOSED
        assert len(asyncio.all_tasks()) <= 4  # this test and the server's


# -- connections -------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1001, 1011, 1013, 4001, 4002])
@asynchronous
async def test_it_reconnects_with_what_it_knows(code: int) -> None:
    async with (
        scripted_server(close_with(code, welcome(), chat(1)), idle) as server,
        client_of(server) as client,
    ):
        event = await first(client, is_a(Reconnecting))
        await first(client, is_a(Welcomed))

        assert isinstance(event, Reconnecting)
        assert (event.code, event.reason) == (code, "because")
        assert server.visits[1].query | {"conversation_id": ""} == {
            "conversation_id": "",
            "client_id": "d",
            "session_id": "s",
            "last_seq": "1",
            "epoch": "e1",
        }


@asynchronous
async def test_a_connection_that_breaks_is_made_anew() -> None:
    async with scripted_server(cut_off, idle) as server, client_of(server) as client:
        event = await first(client, is_a(Reconnecting))
        await first(client, is_a(Welcomed))

        assert isinstance(event, Reconnecting)
        assert event.code == 1006


@pytest.mark.parametrize("code", [1000, 1002, 1008, 4500])
@asynchronous
async def test_it_does_not_reconnect_where_the_close_code_forbids_it(code: int) -> None:
    async with scripted_server(close_with(code, welcome()), idle) as server, client_of(server) as client:
        events = await all_events(client)

        assert events[-1] == Ended(code, "because")
        assert len(server.visits) == 1
        with pytest.raises(SessionEnded, match="because"):
            client.send("too late")


@asynchronous
async def test_a_refused_connection_raises_with_code_and_reason() -> None:
    async with scripted_server(close_with(1008)) as server:
        with pytest.raises(SessionEnded) as raised:
            await client_of(server).connect()

        assert (raised.value.code, raised.value.reason) == (1008, "because")


@asynchronous
async def test_after_the_last_attempt_it_gives_up() -> None:
    async with scripted_server(idle) as server:
        url = server.url
    client = ChatClient(url, "u", "c", backoff=Backoff(base=0.01, max_attempts=2))

    with pytest.raises(SessionEnded, match="1006"):
        await client.connect()

    assert [type(event) for event in await all_events(client)] == [Reconnecting, Reconnecting, Ended]


@asynchronous
async def test_the_first_attempt_can_be_the_only_one() -> None:
    async with scripted_server(close_with(1013)) as server:
        client = client_of(server)
        with pytest.raises(SessionEnded, match="1013"):
            await client.connect(keep_trying=False)

        assert len(server.visits) == 1
        assert client.ended == Ended(1013, "because")


@asynchronous
async def test_a_full_server_is_tried_again() -> None:
    async with scripted_server(idle) as server:
        server.refusals = [503]
        async with client_of(server) as client:
            event = await first(client, is_a(Reconnecting))

        assert isinstance(event, Reconnecting)
        assert event.code == CloseCode.TRY_AGAIN_LATER


@asynchronous
async def test_a_server_that_knows_no_such_path_is_not_tried_again() -> None:
    async with scripted_server(idle) as server:
        server.refusals = [404]
        with pytest.raises(SessionEnded, match="404"):
            await client_of(server).connect()


@asynchronous
async def test_silence_beyond_the_heartbeat_timeout_makes_it_reconnect() -> None:
    silent = close_after_reading(welcome(heartbeat_timeout=0.1))
    async with scripted_server(silent, idle) as server, client_of(server) as client:
        event = await first(client, is_a(Reconnecting))

        assert isinstance(event, Reconnecting)
        assert event.code == 1006


def close_after_reading(*frames: str) -> Script:
    async def script(visit: Visit) -> None:
        await visit.say(*frames)
        await visit.wait_until_closed()

    return script


@asynchronous
async def test_pings_are_answered() -> None:
    answers = asyncio.Queue[dict[str, Any]]()

    async def script(visit: Visit) -> None:
        await visit.say(welcome(), frame("PING", message_id="p"))
        answers.put_nowait(await visit.hear())
        await visit.wait_until_closed()

    async with scripted_server(script) as server, client_of(server):
        assert await answers.get() == {"type": "PONG", "message_id": "p"}


@asynchronous
async def test_each_connection_brings_the_newest_token() -> None:
    tokens = iter(["old", "new", "newer"])

    async def get_token() -> str:
        return next(tokens)

    expire = close_with(CloseCode.TOKEN_EXPIRED, welcome())
    async with scripted_server(expire, idle) as server, client_of(server, get_token=get_token) as client:
        await first(client, is_a(Reconnecting))
        await first(client, is_a(Welcomed))

        assert [visit.headers["Authorization"] for visit in server.visits] == ["Bearer old", "Bearer new"]


@asynchronous
async def test_an_expired_token_without_a_new_one_ends_the_session() -> None:
    expire = close_with(CloseCode.TOKEN_EXPIRED, welcome())
    async with scripted_server(expire) as server, client_of(server, get_token=lambda: "old") as client:
        assert (await all_events(client))[-1] == Ended(CloseCode.TOKEN_EXPIRED, "because")


@asynchronous
async def test_waiting_for_the_next_attempt_can_be_cut_short() -> None:
    slow = Backoff(base=1000.0, cap=1000.0)
    async with scripted_server(cut_off, idle) as server, client_of(server, backoff=slow) as client:
        await first(client, is_a(Reconnecting))
        client.reconnect_now()
        await first(client, is_a(Welcomed))


@asynchronous
async def test_only_one_wait_is_cut_short() -> None:
    slow = Backoff(base=1000.0, cap=1000.0)
    async with scripted_server(cut_off, cut_off, idle) as server, client_of(server, backoff=slow) as client:
        await first(client, is_a(Reconnecting))
        client.reconnect_now()
        await first(client, is_a(Reconnecting))
        await asyncio.sleep(0.1)

        assert len(server.visits) == 2


@asynchronous
async def test_a_client_that_is_connected_is_not_connected_twice() -> None:
    async with scripted_server(idle) as server, client_of(server) as client:
        with pytest.raises(RuntimeError, match="already"):
            await client.connect()


@asynchronous
async def test_after_its_end_it_can_be_connected_again() -> None:
    async with scripted_server(close_with(4500, welcome()), idle) as server, client_of(server) as client:
        await all_events(client)
        await client.connect()

        assert client.session.state is State.OPEN


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "", "ws://"])
def test_what_is_no_address_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        ChatClient(url, "u", "c")


# -- order and history -------------------------------------------------------------------------------


def page_of(*frames: str) -> tuple[int, Any]:
    return 200, {"items": [json.loads(each) for each in frames], "has_more": False}


def history_of(last: int, size: int) -> Callable[[dict[str, str]], Awaitable[tuple[int, Any]]]:
    """A log of `last` messages in pages of `size`."""

    async def answer(query: dict[str, str]) -> tuple[int, Any]:
        start = int(query["after_seq"]) + 1
        return page_of(*(chat(seq) for seq in range(start, min(start + size, last + 1))))

    return answer


def answers(*given: tuple[int, Any]) -> Callable[[dict[str, str]], Awaitable[tuple[int, Any]]]:
    """One after the other; the last again and again."""
    left = list(given)

    async def answer(query: dict[str, str]) -> tuple[int, Any]:
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


@asynchronous
async def test_a_gap_is_read_from_the_history_before_newer_messages_come_out() -> None:
    behind = close_with(1001, welcome(), chat(1))
    far_ahead = close_after_reading(welcome(7, gap={"from": 2, "to": 7}), chat(8), chat(9))
    async with scripted_server(behind, far_ahead) as server:
        server.history = history_of(9, size=3)
        async with client_of(server) as client:
            shown = await until_messages(client, 9)

            assert seqs(shown) == list(range(1, 10))
            assert client.session.last_seq == 9
            assert [query["after_seq"] for query in server.history_queries] == ["1", "4"]


@asynchronous
async def test_a_hole_in_what_the_server_sends_is_mended() -> None:
    leaky = close_after_reading(welcome(), chat(1), chat(4), chat(4), chat(5))
    async with scripted_server(leaky) as server:
        server.history = history_of(5, size=200)
        async with client_of(server) as client:
            shown = await until_messages(client, 5)

            assert seqs(shown) == [1, 2, 3, 4, 5]


@asynchronous
async def test_a_history_that_cannot_be_read_leaves_the_gap_and_shows_the_rest() -> None:
    leaky = close_after_reading(welcome(), chat(1), chat(4))
    async with scripted_server(leaky) as server, client_of(server) as client:
        server.history = answers((401, {"data": "a key is needed", "error": {"code": "unauthorized"}}))
        shown = await until_messages(client, 2)

        assert seqs(shown) == [1, 4]
        assert Missing(2, 3) in shown
        with pytest.raises(HistoryUnavailable, match="a key is needed") as raised:
            await client.history()
        assert (raised.value.status, raised.value.code) == (401, "unauthorized")


@asynchronous
async def test_a_history_that_is_busy_is_asked_again() -> None:
    async with scripted_server(idle) as server, client_of(server, api_key="key") as client:
        server.history = answers((503, {}), page_of(chat(3)))

        assert [each["seq"] for each in await client.history(before_seq=4, limit=10)] == [3]
        assert server.history_queries[-1] == {"before_seq": "4", "limit": "10"}


@asynchronous
async def test_a_page_of_a_log_that_was_replaced_meanwhile_is_not_shown() -> None:
    replaced = asyncio.Event()

    async def history(query: dict[str, str]) -> tuple[int, Any]:
        if not replaced.is_set():
            await replaced.wait()
            return page_of(chat(2, "old2"), chat(3, "old3"))
        return page_of(chat(1, "new1"), chat(2, "new2"))

    async def old_log(visit: Visit) -> None:
        await visit.say(welcome(), chat(1, "old1"), chat(4, "old4"))
        await server.history_asked.wait()
        await visit.socket.close(1001)

    new_log = close_after_reading(welcome(2, epoch="e2", gap={"from": 1, "to": 2}))
    async with scripted_server(old_log, new_log) as server:
        server.history = history
        async with client_of(server) as client:
            before: list[Event] = []
            async for event in client:
                before.append(event)
                if isinstance(event, Welcomed) and event.replaced:
                    break
            replaced.set()
            after = await until_messages(client, 2)

    assert [event.message_id for event in before if isinstance(event, Message)] == ["old1", "old4"]
    assert [event.message_id for event in after if isinstance(event, Message)] == ["new1", "new2"]


@asynchronous
async def test_what_waits_for_the_history_comes_out_before_the_end() -> None:
    async def script(visit: Visit) -> None:
        await visit.say(welcome(), chat(1), chat(4))
        await server.history_asked.wait()
        await visit.socket.close(4500)

    never = asyncio.Event()

    async def history(query: dict[str, str]) -> tuple[int, Any]:
        await never.wait()
        return 404, {}

    async with scripted_server(script) as server:
        server.history = history
        async with client_of(server) as client:
            events = await all_events(client)
        never.set()

    assert seqs(events) == [1, 4]
    assert events[-1] == Ended(4500, "")


@asynchronous
async def test_events_go_to_a_callback_where_one_is_given() -> None:
    seen: list[Event] = []
    async with (
        scripted_server(acknowledge_all) as server,
        client_of(server, on_event=seen.append) as client,
    ):
        await client.send("hello")

        assert seqs(seen) == [1]


@asynchronous
async def test_a_callback_that_raises_ends_the_client_and_is_not_hidden() -> None:
    def fail(event: Event) -> None:
        raise RuntimeError("a fault of the program")

    async with scripted_server(idle) as server:
        with pytest.raises(RuntimeError, match="a fault of the program"):
            async with client_of(server, on_event=fail):
                pass


# -- bad frames, bounds and versions ------------------------------------------------------------------


@asynchronous
async def test_what_is_no_frame_is_reported_and_harms_nothing() -> None:
    nonsense: list[str | bytes] = ["null", "[]", "{", "", '{"type":"SYSTEM"}', b"\xff", b'{"type":"PING"}']

    async def script(visit: Visit) -> None:
        await visit.say(welcome())
        for payload in nonsense:
            await visit.socket.send(payload)
        heard = await visit.hear()
        await visit.say(chat(1, heard["message_id"]), ack(heard["message_id"], 1))
        await visit.wait_until_closed()

    async with scripted_server(script) as server:
        async with client_of(server) as client:
            assert (await client.send("hello")).seq == 1
        events = await all_events(client)

    assert [event.payload for event in events if isinstance(event, Unreadable)] == nonsense
    assert len(server.visits) == 1


@asynchronous
async def test_a_text_beyond_the_servers_bound_is_refused_alone() -> None:
    async with scripted_server(acknowledge_all) as server, client_of(server) as client:
        sendings = [client.send(text) for text in ("a" * 70_000, "\u6f22" * 22_000, "\U0001f600" * 4_000)]

        for sending in sendings[:2]:
            with pytest.raises(MessageRefused) as raised:
                await sending
            assert raised.value.code == ErrorCode.MESSAGE_TOO_LONG
        assert (await sendings[2]).seq == 1
        assert len(server.visits) == 1


@pytest.mark.parametrize("keep_trying", [True, False])
@asynchronous
async def test_a_server_of_another_protocol_version_is_left_with_a_reason(keep_trying: bool) -> None:
    async def script(visit: Visit) -> None:
        await visit.say(welcome(protocol=2))
        await visit.wait_until_closed()

    async with scripted_server(script) as server:
        client = client_of(server)
        with pytest.raises(SessionEnded) as raised:
            await client.connect(keep_trying)
        await client.close()

    assert raised.value.code == CloseCode.PROTOCOL_ERROR
    assert "version 2" in raised.value.reason
    assert len(server.visits) == 1


@asynchronous
async def test_an_answer_is_stopped_by_its_id_or_whatever_it_is() -> None:
    heard: list[Any] = []

    async def script(visit: Visit) -> None:
        await visit.say(welcome())
        while True:
            cancel = await visit.hear()
            heard.append((cancel["type"], cancel["data"]))
            await visit.say(frame("ACK", message_id=cancel["message_id"], data="text"))

    async with scripted_server(script) as server, client_of(server) as client:
        assert (await client.cancel_response("r")).seq is None
        await client.cancel_response()

    assert heard == [("CANCEL_RESPONSE", {"message_id": "r"}), ("CANCEL_RESPONSE", {})]
