"""Frames that are put together by hand equal a WSMessage's own serialisation, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st

from server.core import payloads
from server.core.model import Refused, StoredMessage
from server.core.timestamps import rfc3339
from server.core.websocket_frames import payloads_of, text_frame
from server.protocol import ACK_TEXT, ErrorCode, ErrorInfo, MessageType, WSMessage

identifiers = st.text("ABCXYZabcxyz0189._:@-", min_size=1, max_size=128)
texts = st.text(st.characters(exclude_categories=["Cs"]))  # all of Unicode but lone surrogates
seqs = st.integers(1, 1 << 53)
stamps = st.integers(0, 4_000_000_000_000).map(rfc3339)
client_stamps = st.none() | st.sampled_from(["2026-11-23T05:14:44Z", "2026-11-23t05:14:44.123456789+02:00"])
messages = st.builds(
    StoredMessage,
    seq=seqs,
    message_id=identifiers,
    type=st.sampled_from([MessageType.CHAT_MESSAGE, MessageType.AI_RESPONSE]),
    sender=identifiers,
    data=texts,
    created_at=st.just(0),
    client_timestamp=client_stamps,
    finish=st.none() | st.just("cancelled"),
)


@given(identifiers, seqs, messages, stamps)
def test_a_saved_message(conversation_id: str, seq: int, message: StoredMessage, stamp: str) -> None:
    expected = WSMessage(
        type=message.type,
        message_id=message.message_id,
        conversation_id=conversation_id,
        data=message.data,
        timestamp=stamp,
        sender=message.sender,
        seq=seq,
        finish=message.finish,
        client_timestamp=message.client_timestamp,
    )
    assert payloads.saved_message(conversation_id, seq, message, stamp) == expected.to_json()


@given(identifiers, identifiers, st.none() | seqs, st.booleans(), stamps)
def test_an_ack(conversation_id: str, message_id: str, seq: int | None, duplicate: bool, stamp: str) -> None:
    expected = WSMessage(
        type=MessageType.ACK,
        message_id=message_id,
        conversation_id=conversation_id,
        data=ACK_TEXT,
        timestamp=stamp,
        sender="server",
        seq=seq,
        duplicate=True if duplicate and seq is not None else None,
    )
    assert payloads.ack(conversation_id, message_id, seq, duplicate, stamp) == expected.to_json()


def test_a_refusal_is_a_nack_of_its_message_and_an_error_where_there_is_none() -> None:
    why = Refused(ErrorCode.RATE_LIMITED, "Too many", 1.5)
    nack = WSMessage.model_validate_json(payloads.refusal("c", "m1", why, "t", "new"))
    assert (nack.type, nack.message_id, nack.data) == (MessageType.NACK, "m1", "Too many")
    assert nack.error == ErrorInfo(code=ErrorCode.RATE_LIMITED, retryable=True, retry_after=1.5)
    error = WSMessage.model_validate_json(
        payloads.refusal("c", None, Refused(ErrorCode.INVALID_JSON, "no"), "t", "new")
    )
    assert (error.type, error.message_id) == (MessageType.ERROR, "new")
    assert error.error == ErrorInfo(code=ErrorCode.INVALID_JSON, retryable=False)


def test_a_signal_without_data_has_none() -> None:
    assert b'"data"' not in payloads.signal(MessageType.PING, "c", "m", None, "t")
    assert b'"data":{"is_typing":true}' in payloads.signal(
        MessageType.TYPING_INDICATOR, "c", "m", {"is_typing": True}, "t"
    )


@given(st.lists(st.binary(max_size=300) | st.integers(0, 70_000).map(bytes), max_size=8))
def test_what_was_framed_is_found_again(payloads: list[bytes]) -> None:
    assert list(payloads_of(b"".join(map(text_frame, payloads)))) == payloads


@given(identifiers, seqs, messages, stamps)
def test_type_and_id_of_a_saved_message_are_read_from_its_frame(
    conversation_id: str, seq: int, message: StoredMessage, stamp: str
) -> None:
    frame = text_frame(payloads.saved_message(conversation_id, seq, message, stamp))
    assert payloads.type_and_id(frame) == (message.type, message.message_id)
