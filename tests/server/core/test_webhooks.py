import json
import time

from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from server.core.model import Conversation
from server.core.turn_rules import Turn
from server.core.webhooks import event_body, key_of, signature, turn_body, turn_id, undelivered_id
from server.protocol import MessageType
from tests.server.ai.responder_contract import message, turn

SECRETS = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]


@given(st.text(), st.text("abc_019", min_size=1))
def test_anybodys_library_verifies_what_was_signed_with_its_secret_among_others(text: str, id: str) -> None:
    body = text.encode("utf-8", "replace")
    stamp = int(time.time())
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(stamp),
        "webhook-signature": signature(map(key_of, SECRETS), id, stamp, body),
    }
    for secret in SECRETS:
        Webhook(secret).verify(body, headers, json_parse=False)


def test_the_name_of_a_turn_has_no_dots_and_tells_its_extent_and_epoch() -> None:
    names = {
        turn_id(turn("a", epoch="e.1")),
        turn_id(turn("a", "b", epoch="e.1")),
        turn_id(turn("a", seq=2, epoch="e.1")),
        turn_id(turn("a", epoch="e.2")),
        undelivered_id(Conversation(1, "c", "kai", {"id": "ai_alex"}, "e.1", 0), 1),
        undelivered_id(Conversation(1, "c", "kai", {"id": "ai_alex"}, "e.1", 0), 2),
    }
    assert len(names) == 6
    assert not any("." in name for name in names)


def test_a_turn_that_is_replayed_says_so() -> None:
    first = turn("a")
    again = Turn(first.conversation, first.messages, first.history, is_replayed=True)
    assert "replayed" not in json.loads(turn_body(first, 0))["data"]
    assert json.loads(turn_body(again, 0))["data"]["replayed"] is True
    assert turn_id(first) == turn_id(again)


def test_any_text_comes_through_as_it_was_said() -> None:
    said = '\u2028 \N{SMILING FACE WITH SMILING EYES} "quoted" \\ \x1b'
    history = [message(1, MessageType.AI_RESPONSE, said)]
    data = json.loads(turn_body(turn(said, history=history), 0))["data"]
    assert (data["message"]["data"], data["history"][0]["data"]) == (said, said)


def test_an_event_has_its_time() -> None:
    assert json.loads(event_body("read", {"seq": 1}, 1_768_473_000_123)) == {
        "type": "read",
        "timestamp": "2026-01-15T10:30:00.123Z",
        "data": {"seq": 1},
    }
