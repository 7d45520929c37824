"""The session by example: each test is one sentence of the protocol's section 8, or of those it leans on."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from chatctl.client.backoff import Backoff
from chatctl.client.events import (
    Delivered,
    Ended,
    Event,
    Failed,
    Message,
    Missing,
    Notice,
    Read,
    Reconnecting,
    Stale,
    State,
    Typing,
    Unreadable,
    Welcomed,
)
from chatctl.client.order import OrderFault
from chatctl.client.outgoing import CONNECTION_LOST, TIMEOUT, Status
from chatctl.client.session import Session
from server.protocol import ABNORMAL_CLOSURE, CloseCode, ErrorCode, MessageType
from tests.support.frames import ack, chat, frame, nack, welcome

ORIGIN = "ws://host:8000"


def sent(session: Session) -> list[dict[str, Any]]:
    return [json.loads(payload) for payload in session.frames_to_send()]


def ids_sent(session: Session) -> list[str]:
    return [each["message_id"] for each in sent(session)]


def query(url: str) -> dict[str, str]:
    return {key: value for key, (value,) in parse_qs(urlsplit(url).query).items()}


def opened(last_seq: int = 0, **options: Any) -> Session:
    session = Session("u", "c", **options)
    session.start_connection(ORIGIN, 0.0)
    session.receive(welcome(last_seq), 0.0)
    return session


def opened_with(**told: Any) -> Session:
    session = Session("u", "c")
    session.start_connection(ORIGIN, 0.0)
    session.receive(welcome(**told), 0.0)
    return session


def lose(session: Session) -> Event:
    return session.disconnected(ABNORMAL_CLOSURE, "", fraction=0.5)[-1]


def reconnect(session: Session, said: str, now: float = 2.0) -> list[Event]:
    session.start_connection(ORIGIN, now)
    return session.receive(said, now)


# -- connecting and reconnecting ---------------------------------------------------------------------


def test_the_first_connection_names_user_and_conversation_alone() -> None:
    url = Session("kai@x", "c").start_connection("http://host:8000/", 0.0)

    assert url == "ws://host:8000/ws/kai%40x?conversation_id=c"
    assert Session("u", "c").start_connection("https://host", 0.0).startswith("wss://host/ws/u?")


def test_a_reconnect_brings_client_id_session_id_last_seq_and_epoch() -> None:
    session = opened(last_seq=41)
    session.receive(chat(42), 0.5)
    lose(session)

    assert query(session.start_connection(ORIGIN, 2.0)) == {
        "conversation_id": "c",
        "client_id": "d",
        "session_id": "s",
        "last_seq": "42",
        "epoch": "e1",
    }


def test_the_token_goes_into_a_header_and_never_into_the_url() -> None:
    session = Session("u", "c", token="secret")

    assert session.headers() == {"Authorization": "Bearer secret"}
    assert "secret" not in session.start_connection(ORIGIN, 0.0)


def test_the_state_follows_the_connection() -> None:
    session = Session("u", "c")
    states = [session.state]
    session.start_connection(ORIGIN, 0.0)
    states.append(session.state)
    session.receive(welcome(), 0.0)
    states.append(session.state)
    lose(session)
    states.append(session.state)
    session.end()
    states.append(session.state)

    assert states == [State.CLOSED, State.CONNECTING, State.OPEN, State.RECONNECTING, State.CLOSED]


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1013, 4001, 4002, 4499])
def test_codes_that_allow_it_are_followed_by_a_reconnect(code: int) -> None:
    (event,) = opened().disconnected(code, "why", fraction=0.5)

    assert isinstance(event, Reconnecting)
    assert (event.code, event.reason, event.attempt) == (code, "why", 1)


@pytest.mark.parametrize("code", [1000, 1002, 1007, 1008, 1009, 4003, 4500, 4999])
def test_codes_that_forbid_it_end_the_session(code: int) -> None:
    assert opened().disconnected(code, "why", fraction=0.5) == [Ended(code, "why")]


def test_after_an_expired_token_only_a_new_one_reconnects() -> None:
    session = opened(token="old")
    session.token = "new"

    (event,) = session.disconnected(CloseCode.TOKEN_EXPIRED, "", fraction=0.0)

    assert isinstance(event, Reconnecting)
    assert session.headers() == {"Authorization": "Bearer new"}


def test_the_backoff_doubles_up_to_its_cap_with_full_jitter() -> None:
    session = opened()

    ceilings = [session.disconnected(1006, "", fraction=1.0)[-1].delay for _ in range(8)]  # type: ignore[union-attr]

    assert ceilings == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert Backoff().delay(5, 1006, None, fraction=0.0) == 0.0
    assert Backoff().delay(5000, 1006, None, fraction=0.5) == 15.0


def test_a_welcome_resets_the_backoff() -> None:
    session = opened()
    lose(session)
    lose(session)
    reconnect(session, welcome())

    event = lose(session)

    assert isinstance(event, Reconnecting)
    assert event.attempt == 1


def test_a_full_server_is_left_alone_for_five_seconds_at_least() -> None:
    delays = [
        Backoff().delay(attempt, CloseCode.TRY_AGAIN_LATER, None, fraction)
        for attempt in (1, 2, 9)
        for fraction in (0.0, 1.0)
    ]

    assert delays == [5.0, 10.0, 5.0, 15.0, 5.0, 30.0]


def test_after_a_shutdown_the_client_waits_as_long_as_it_was_asked_to_and_adds_jitter() -> None:
    session = opened()
    session.receive(frame("SYSTEM", data={"event": "shutdown", "reconnect_after": 3.0}), 1.0)

    assert session.disconnected(1001, "", fraction=1.0) == [Reconnecting(3.5, 1, 1001, "")]
    assert session.disconnected(1006, "", fraction=1.0) == [Reconnecting(1.0, 2, 1006, "")]


def test_after_max_attempts_the_session_ends() -> None:
    session = opened(backoff=Backoff(max_attempts=2))

    events = [lose(session) for _ in range(3)]

    assert [type(event) for event in events] == [Reconnecting, Reconnecting, Ended]


def test_silence_beyond_the_heartbeat_timeout_makes_the_connection_stale() -> None:
    session = opened()
    session.receive(frame("PING"), 5.0)

    assert session.deadline() == 65.0
    assert session.tick(64.9) == []
    assert [type(event) for event in session.tick(65.0)] == [Stale]
    assert session.tick(66.0) == []
    assert session.deadline() is None


def test_a_connection_without_a_welcome_becomes_stale() -> None:
    session = Session("u", "c")
    session.start_connection(ORIGIN, 100.0)

    assert session.tick(119.0) == []
    assert [type(event) for event in session.tick(120.0)] == [Stale]


def test_a_ping_is_answered_with_its_data_and_message_id_and_is_no_event() -> None:
    session = opened()

    assert session.receive(frame("PING", message_id="p", data={"n": 1}), 1.0) == []
    assert sent(session) == [{"type": "PONG", "message_id": "p", "data": {"n": 1}}]


# -- messages in flight ------------------------------------------------------------------------------


def test_nothing_is_sent_before_the_welcome() -> None:
    session = Session("u", "c")
    session.start_connection(ORIGIN, 0.0)
    message = session.send("m", "hello", 0.0)

    assert session.frames_to_send() == []
    assert message.status is Status.SENDING

    session.receive(welcome(), 1.0)

    assert sent(session) == [{"type": "CHAT_MESSAGE", "message_id": "m", "data": "hello"}]


def test_an_ack_delivers() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)

    (event,) = session.receive(ack("m", 7), 0.1)

    assert isinstance(event, Delivered)
    assert (event.message, event.seq, event.duplicate) == (message, 7, False)
    assert message.status is Status.DELIVERED
    assert not session.in_flight


def test_a_nack_fails_with_its_code_and_retry_after() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)

    assert session.receive(nack("m", ErrorCode.RATE_LIMITED, 1.5), 0.1) == [Failed(message)]
    assert message.status is Status.FAILED
    assert message.failure is not None
    assert (message.failure.code, message.failure.retryable) == ("rate_limited", True)
    assert message.failure.retry_after == 1.5


def test_without_an_answer_it_is_resent_once_with_the_same_id_and_then_fails() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.frames_to_send()

    assert session.deadline() == 10.0
    assert session.tick(9.9) == []
    assert session.tick(10.0) == []
    assert ids_sent(session) == ["m"]
    assert session.tick(20.0) == [Failed(message)]
    assert session.frames_to_send() == []
    assert message.failure is not None
    assert message.failure.code == TIMEOUT


def test_the_deadline_runs_on_while_not_connected() -> None:
    session = opened()
    lose(session)
    message = session.send("m", "hello", 1.0)

    assert session.tick(11.0) == []
    assert session.frames_to_send() == []
    assert session.tick(21.0) == [Failed(message)]


def test_what_is_in_flight_is_resent_after_a_reconnect_in_the_order_of_sending() -> None:
    session = opened()
    for at, message_id in enumerate(["m1", "m2", "m3"]):
        session.send(message_id, "hello", float(at))
    session.tick(10.5)  # m1 is resent, and so is now the last to be due
    session.receive(ack("m2", 1), 10.6)
    lose(session)

    reconnect(session, welcome(1), 12.0)

    assert ids_sent(session) == ["m1", "m3"]


def test_frames_not_yet_taken_when_the_connection_ends_are_not_sent_twice() -> None:
    session = opened()
    session.send("m", "hello", 0.0)
    lose(session)
    reconnect(session, welcome())

    assert ids_sent(session) == ["m"]


def test_the_end_of_the_session_fails_what_is_in_flight() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)

    assert session.disconnected(1008, "no", 0.0) == [Failed(message), Ended(1008, "no")]
    assert message.failure is not None
    assert message.failure.code == CONNECTION_LOST


@pytest.mark.parametrize(
    "code", [ErrorCode.RATE_LIMITED, ErrorCode.VALIDATION_FAILED, ErrorCode.STORE_UNAVAILABLE]
)
def test_a_retry_after_a_nack_takes_a_new_id(code: ErrorCode) -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.receive(nack("m", code), 0.1)
    session.frames_to_send()

    again = session.retry(message, "m-new", 1.0)

    assert again.message_id == "m-new"
    assert sent(session) == [{"type": "CHAT_MESSAGE", "message_id": "m-new", "data": "hello"}]


def test_a_retry_after_an_unknown_outcome_keeps_the_id() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.receive(nack("m", ErrorCode.OUTCOME_UNKNOWN), 0.1)

    assert session.retry(message, "m-new", 1.0).message_id == "m"


def test_a_retry_after_a_timeout_or_a_lost_connection_keeps_the_id() -> None:
    session = opened()
    message = session.send("m1", "hello", 0.0)
    session.tick(10.0)
    session.tick(20.0)
    other = session.send("m2", "hello", 20.0)
    session.end()

    assert session.retry(message, "n1", 21.0).message_id == "m1"
    assert session.retry(other, "n2", 21.0).message_id == "m2"


def test_a_retry_keeps_the_id_while_an_earlier_transmission_may_yet_be_saved() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.tick(10.0)  # sent twice
    session.receive(nack("m", ErrorCode.RATE_LIMITED), 10.1)
    again = session.retry(message, "n1", 11.0)  # sent three times, answered once

    assert again.message_id == "m"
    session.receive(nack("m", ErrorCode.RATE_LIMITED), 11.1)
    session.receive(nack("m", ErrorCode.RATE_LIMITED), 11.2)
    assert session.retry(again, "n2", 12.0).message_id == "n2"


def test_a_retry_after_a_conflict_takes_a_new_id_in_any_case() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.tick(10.0)
    session.receive(nack("m", ErrorCode.MESSAGE_ID_CONFLICT), 10.1)

    assert session.retry(message, "n", 11.0).message_id == "n"


def test_only_what_has_failed_can_be_retried() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)

    with pytest.raises(ValueError, match="has not failed"):
        session.retry(message, "n", 1.0)
    with pytest.raises(ValueError, match="in flight"):
        session.send("m", "hello", 1.0)


def test_a_late_ack_delivers_what_had_timed_out() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.tick(10.0)
    session.tick(20.0)

    (event,) = session.receive(ack("m", 3), 21.0)

    assert isinstance(event, Delivered)
    assert message.status is Status.DELIVERED
    assert message.failure is None


def test_the_broadcast_of_a_message_in_doubt_proves_it_delivered() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.receive(nack("m", ErrorCode.OUTCOME_UNKNOWN), 5.0)

    shown, delivered = session.receive(chat(1, "m"), 6.0)

    assert isinstance(shown, Message)
    assert isinstance(delivered, Delivered)
    assert (delivered.message, delivered.seq, delivered.ack) == (message, 1, None)


def test_a_message_whose_broadcast_was_seen_is_delivered_even_if_its_ack_is_lost() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.receive(chat(1, "m"), 0.1)
    lose(session)

    session.tick(10.0)
    (event,) = session.tick(20.0)

    assert isinstance(event, Delivered)
    assert (event.message, event.seq) == (message, 1)


def test_a_broadcast_in_a_log_that_was_replaced_proves_nothing() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.receive(chat(1, "m"), 0.1)
    lose(session)
    reconnect(session, welcome(0, epoch="e2"))

    session.tick(12.0)

    assert session.tick(22.0) == [Failed(message)]


def test_the_message_of_another_sender_proves_nothing() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.receive(nack("m", ErrorCode.OUTCOME_UNKNOWN), 5.0)

    session.receive(chat(1, "m", sender="ai"), 6.0)

    assert message.status is Status.FAILED


def test_a_discarded_failure_is_forgotten() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0)
    session.receive(nack("m", ErrorCode.OUTCOME_UNKNOWN), 5.0)

    session.discard(message)

    assert [type(event) for event in session.receive(ack("m", 1), 6.0)] == [Notice]


def test_an_answer_to_nothing_in_flight_is_a_notice() -> None:
    session = opened()
    session.send("m", "hello", 0.0)
    session.receive(ack("m", 1), 0.1)

    assert [type(event) for event in session.receive(ack("m", 1), 0.2)] == [Notice]
    assert [type(event) for event in session.receive(nack("x", ErrorCode.EMPTY_MESSAGE), 0.2)] == [Notice]


def test_the_servers_ack_timeout_counts_unless_another_is_configured() -> None:
    session = Session("u", "c")
    session.start_connection(ORIGIN, 0.0)
    session.receive(welcome(ack_timeout=3.0), 0.0)
    session.send("m", "hello", 0.0)

    assert session.deadline() == 3.0
    assert opened(ack_timeout=2.0).ack_timeout == 2.0


def test_a_client_timestamp_is_sent_along_and_kept_by_a_retry() -> None:
    session = opened()
    message = session.send("m", "hello", 0.0, timestamp="2026-11-23T04:00:00Z")
    session.receive(nack("m", ErrorCode.RATE_LIMITED), 1.0)
    session.retry(message, "m2", 2.0)

    assert [frame["timestamp"] for frame in sent(session)] == ["2026-11-23T04:00:00Z"] * 2


# -- bounds and versions -----------------------------------------------------------------------------


def refusals(events: list[Event]) -> list[tuple[str, str]]:
    return [
        (event.message.message_id, event.message.failure.code)
        for event in events
        if isinstance(event, Failed) and event.message.failure
    ]


def test_a_text_beyond_the_servers_bound_fails_alone_and_is_never_sent() -> None:
    session = opened_with(max_text_length=3)
    session.send("long", "four", 1.0)
    session.send("short", "\U0001f600" * 3, 1.0)  # counted in code points

    assert ids_sent(session) == ["short"]
    assert session.deadline() == 1.0
    assert refusals(session.tick(1.0)) == [("long", "message_too_long")]
    assert set(session.in_flight) == {"short"}


def test_a_text_is_measured_by_the_welcome_that_it_waited_for() -> None:
    session = Session("u", "c")
    session.start_connection(ORIGIN, 0.0)
    long = session.send("long", "four", 0.0)
    session.send("short", "one", 0.0)
    session.receive(welcome(max_text_length=3), 1.0)

    assert ids_sent(session) == ["short"]
    assert session.tick(1.0) == [Failed(long)]
    assert session.retry(long, "again", 2.0).message_id == "again"


@pytest.mark.parametrize(("told", "most"), [({}, 65536), ({"max_frame_bytes": 200}, 200)])
def test_a_frame_of_more_bytes_than_the_server_takes_fails_alone(told: dict[str, int], most: int) -> None:
    session = opened_with(**told)
    room = most - len('{"type":"AUTH_REFRESH","message_id":"a","data":{"token":""}}')
    session.refresh_token("a", "\u00e9" * (room // 2), 1.0)  # two bytes each
    session.refresh_token("b", "\u00e9" * (room // 2) + "xx", 1.0)

    assert ids_sent(session) == ["a"]
    assert refusals(session.tick(1.0)) == [("b", "message_too_long")]


def test_what_was_refused_and_not_told_yet_fails_with_the_session_for_its_own_reason() -> None:
    session = opened_with(max_text_length=3)
    session.send("long", "four", 1.0)
    with pytest.raises(ValueError, match="in flight"):
        session.send("long", "one", 1.0)

    assert refusals(session.end()) == [("long", "message_too_long")]


def test_a_server_of_another_protocol_version_ends_the_session_with_a_reason() -> None:
    session = Session("u", "c")
    session.start_connection(ORIGIN, 0.0)
    message = session.send("m", "hello", 0.0)

    (stale,) = session.receive(welcome(protocol=2), 0.1)
    failed, ended = session.disconnected(ABNORMAL_CLOSURE, "", fraction=0.5)

    assert isinstance(stale, Stale)
    assert isinstance(ended, Ended)
    assert (ended.code, ended.reason) == (CloseCode.PROTOCOL_ERROR, stale.reason)
    assert "version 2" in ended.reason
    assert "version 1" in ended.reason
    assert failed == Failed(message)


# -- order and recovery ------------------------------------------------------------------------------


def messages(events: list[Event]) -> list[tuple[int, bool, OrderFault | None]]:
    return [(event.seq, event.new, event.fault) for event in events if isinstance(event, Message)]


def test_messages_in_order_are_new_and_without_fault() -> None:
    session = opened(last_seq=5)

    events = [*session.receive(chat(6), 1.0), *session.receive(chat(7), 1.0)]

    assert messages(events) == [(6, True, None), (7, True, None)]


def test_a_doubled_message_is_not_new_and_reported() -> None:
    session = opened()
    session.receive(chat(1), 1.0)

    assert messages(session.receive(chat(1), 1.0)) == [(1, False, OrderFault.DUPLICATE)]


def test_a_hole_is_reported_and_its_late_messages_are_new() -> None:
    session = opened()
    session.receive(chat(1), 1.0)

    events = session.receive(chat(4), 1.0)

    assert messages(events) == [(4, True, OrderFault.SKIPPED)]
    assert events[0] == Missing(2, 3)
    assert session.last_seq == 1
    assert messages(session.receive(chat(3), 1.0)) == [(3, True, OrderFault.LATE)]
    assert session.missing == [(2, 2)]
    assert messages(session.receive(chat(2), 1.0)) == [(2, True, OrderFault.LATE)]
    assert session.last_seq == 4


def test_a_replay_after_a_hole_shows_each_message_once_and_is_no_fault() -> None:
    session = opened()
    session.receive(chat(1), 1.0)
    session.receive(chat(3), 1.0)
    lose(session)
    reconnect(session, welcome(4))

    events = [event for seq in (2, 3, 4) for event in session.receive(chat(seq), 3.0)]

    assert messages(events) == [(2, True, None), (3, False, None), (4, True, None)]


def test_a_replay_that_begins_too_late_is_a_fault() -> None:
    session = opened()
    session.receive(chat(1), 1.0)
    lose(session)
    reconnect(session, welcome(3))

    assert messages(session.receive(chat(3), 3.0)) == [(3, True, OrderFault.SKIPPED)]


def test_a_gap_is_read_from_the_history_while_live_messages_go_on() -> None:
    session = opened()
    session.receive(chat(1), 1.0)
    lose(session)

    events = reconnect(session, welcome(800, gap={"from": 2, "to": 800}))
    live = session.receive(chat(801), 3.0)

    assert isinstance(events[0], Welcomed)
    assert events[1:] == [Missing(2, 800)]
    assert messages(live) == [(801, True, None)]
    assert session.last_seq == 1
    page = [json.loads(chat(seq)) for seq in range(1, 802)]
    assert messages(session.history(page)) == [(seq, True, None) for seq in range(2, 801)]
    assert session.last_seq == 801
    assert session.history(page) == []


@pytest.mark.parametrize("newest", [20, 70])
def test_another_epoch_replaces_the_log(newest: int) -> None:
    session = opened(last_seq=50)
    lose(session)

    event, missing = reconnect(session, welcome(newest, epoch="e2", gap={"from": 1, "to": newest}))

    assert isinstance(event, Welcomed)
    assert event.replaced
    assert missing == Missing(1, newest)
    assert (session.last_seq, session.epoch) == (0, "e2")
    assert messages(session.receive(chat(newest + 1), 3.0)) == [(newest + 1, True, None)]


def test_a_log_that_is_shorter_than_what_was_seen_is_another_one() -> None:
    session = opened(last_seq=50)
    lose(session)

    (event,) = reconnect(session, welcome(0))

    assert isinstance(event, Welcomed)
    assert event.replaced
    assert messages(session.receive(chat(1), 3.0)) == [(1, True, None)]


def test_the_same_log_is_not_replaced() -> None:
    session = opened(last_seq=50)
    lose(session)

    (event,) = reconnect(session, welcome(50, resumed=True))

    assert isinstance(event, Welcomed)
    assert not event.replaced


def test_a_last_seq_from_an_earlier_run_replays_from_the_first_connection_on() -> None:
    session = Session("u", "c", last_seq=3, epoch="e1")

    assert query(session.start_connection(ORIGIN, 0.0))["last_seq"] == "3"

    session.receive(welcome(5, recovered=2), 0.0)

    assert messages(session.receive(chat(4), 0.1)) == [(4, True, None)]


# -- the rest of the conversation --------------------------------------------------------------------


def test_a_saved_answer_tells_why_it_is_not_whole() -> None:
    session = opened()

    (stopped,) = session.receive(
        frame("AI_RESPONSE", message_id="r", seq=1, data="Hel", finish="cancelled"), 1.0
    )
    (whole,) = session.receive(frame("AI_RESPONSE", message_id="s", seq=2, data="Hello"), 1.0)

    assert isinstance(stopped, Message)
    assert isinstance(whole, Message)
    assert (stopped.finish, whole.finish) == ("cancelled", None)


def test_typing_is_renewed_while_it_goes_on_and_ended_once() -> None:
    session = opened()
    for is_typing, at in [(False, 0.0), (True, 0.0), (True, 1.0), (True, 2.6), (False, 3.0), (False, 3.1)]:
        session.typing(is_typing, at)

    assert [each["data"]["is_typing"] for each in sent(session)] == [True, True, False]


def test_typing_is_not_kept_for_a_later_connection() -> None:
    session = opened()
    lose(session)
    session.typing(True, 1.0)
    reconnect(session, welcome())

    assert session.frames_to_send() == []


def test_the_others_typing_and_receipts_are_events() -> None:
    session = opened()

    assert session.receive(frame("TYPING_INDICATOR", data={"is_typing": True}, sender="ai"), 1.0) == [
        Typing("ai", True)
    ]
    assert session.receive(frame("READ_RECEIPT", data={"message_id": "m", "seq": 3}, sender="ai"), 1.0) == [
        Read("ai", "m", 3)
    ]


def test_read_receipts_go_only_forward() -> None:
    session = opened()

    assert session.mark_read("r1", 5, 1.0)
    assert session.mark_read("r2", 5, 1.0) is None
    assert sent(session) == [{"type": "READ_RECEIPT", "message_id": "r1", "data": {"seq": 5}}]


def test_cancel_and_token_refresh_await_their_answers() -> None:
    session = opened(token="old")
    session.cancel_response("x1", "r", 1.0)
    session.refresh_token("x2", "new", 1.0)

    assert [(each["type"], each["data"]) for each in sent(session)] == [
        (MessageType.CANCEL_RESPONSE, {"message_id": "r"}),
        (MessageType.AUTH_REFRESH, {"token": "new"}),
    ]
    assert set(session.in_flight) == {"x1", "x2"}
    assert session.headers() == {"Authorization": "Bearer new"}


def test_a_cancel_without_an_id_stops_whatever_is_written_or_prepared() -> None:
    session = opened()
    session.cancel_response("x", None, 1.0)

    assert sent(session) == [{"type": "CANCEL_RESPONSE", "message_id": "x", "data": {}}]


@pytest.mark.parametrize("type_", ["NEW_MATCH", "AI_STATUS", "CONVERSATION_CREATED", "ERROR", "FUTURE_TYPE"])
def test_all_other_frames_are_notices(type_: str) -> None:
    (event,) = opened().receive(frame(type_, data={"a": 1}), 1.0)

    assert isinstance(event, Notice)
    assert (event.type, event.data) == (type_, {"a": 1})


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "{}",
        '{"type":["x"]}',
        '{"type":"CHAT_MESSAGE"}',
        '{"type":"CHAT_MESSAGE","seq":"1","message_id":"m"}',
        '{"type":"CHAT_MESSAGE","seq":1,"message_id":[]}',
        '{"type":"CHAT_MESSAGE","seq":true,"message_id":"m"}',
        '{"type":"CHAT_MESSAGE","seq":1.5,"message_id":"m"}',
        '{"type":"CHAT_MESSAGE","seq":0,"message_id":"m"}',
        '{"type":"SYSTEM","data":{"event":"shutdown","reconnect_after":NaN}}',
        '{"type":"AI_RESPONSE_CHUNK","message_id":"m","data":{"text":"x","offset":-1}}',
        '{"type":"AI_RESPONSE_CHUNK","message_id":"m","data":{"text":7,"offset":0}}',
        '{"type":"NACK","message_id":"m"}',
        '{"type":"SYSTEM","data":{"event":"connected"}}',
        '{"type":"AI_RESPONSE_CHUNK","message_id":"m","data":"x"}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_frame_is_reported_and_changes_nothing(payload: str | bytes) -> None:
    session = opened()

    assert [type(event) for event in session.receive(payload, 1.0)] == [Unreadable]
    assert messages(session.receive(chat(1), 1.0)) == [(1, True, None)]


def test_a_message_before_the_welcome_is_reported() -> None:
    session = Session("u", "c")
    session.start_connection(ORIGIN, 0.0)

    assert [type(event) for event in session.receive(chat(1), 0.0)] == [Unreadable]
