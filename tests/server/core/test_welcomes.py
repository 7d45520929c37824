"""A welcome that is put together by hand equals its model's own serialisation, byte for byte."""

from hypothesis import given
from hypothesis import strategies as st

from server.core.model import Conversation
from server.core.recovery import Replay
from server.core.welcomes import Welcomes
from server.protocol import PROTOCOL_VERSION, Gap, MessageType, RateLimit, Welcome, WSMessage

identifiers = st.text("ABCXYZabcxyz0189._:@-", min_size=1, max_size=128)
texts = st.text(st.characters(exclude_categories=["Cs"]))  # all of Unicode but lone surrogates
seqs = st.integers(0, 1 << 53)
seconds = st.floats(0.001, 1e6)
conversations = st.builds(
    Conversation,
    key=st.just(1),
    id=identifiers,
    user_id=identifiers,
    ai=st.dictionaries(texts, st.none() | texts | seqs | st.lists(texts)).map(
        lambda more: {"id": "ai", "name": "AI", **more}
    ),
    epoch=identifiers,
    last_seq=seqs,
)
gaps = st.none() | st.builds(lambda first, last: Gap(first=first, last=last), seqs, seqs)
limits = st.none() | st.builds(RateLimit, messages=seqs, window=seconds)


@given(conversations, st.tuples(*[identifiers] * 4), seqs, seqs, gaps, st.booleans(), limits, seconds)
def test_a_welcome(
    conversation: Conversation,
    ids: tuple[str, str, str, str],
    newest: int,
    after: int,
    gap: Gap | None,
    resumed: bool,
    limit: RateLimit | None,
    interval: float,
) -> None:
    client_id, session_id, connection_id, message_id = ids
    terms = {
        "heartbeat_interval": interval,
        "heartbeat_timeout": interval * 2,
        "ack_timeout": 10.0,
        "max_text_length": 4000,
        "max_frame_bytes": 65536,
        "rate_limit": limit,
    }
    data = Welcome(
        protocol=PROTOCOL_VERSION,
        user_id=conversation.user_id,
        client_id=client_id,
        session_id=session_id,
        connection_id=connection_id,
        last_seq=newest,
        epoch=conversation.epoch,
        resumed=resumed,
        recovered=newest - after,
        gap=gap,
        ai={**conversation.ai, "status": "away"},
        devices=3,
        **terms,
    ).model_dump(by_alias=True)
    expected = WSMessage(
        type=MessageType.SYSTEM,
        message_id=message_id,
        conversation_id=conversation.id,
        data=data,
        timestamp="2026-01-15T10:30:00.123Z",
        sender="server",
    )
    assert (
        Welcomes(terms).payload(
            conversation,
            "away",
            client_id,
            session_id,
            connection_id,
            resumed,
            newest,
            Replay(after, gap),
            3,
            message_id,
            "2026-01-15T10:30:00.123Z",
        )
        == expected.to_json()
    )
