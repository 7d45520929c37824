from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.transport.frame_parser import (
    MAX_FRAGMENTS,
    MAX_FRAMES_PER_TURN,
    FrameParser,
    Message,
    ProtocolFault,
    parse_close,
)
from tests.support.wire import BINARY, CONTINUATION, PING, PONG, TEXT, client_frame

LIMIT = 70_000  # bytes: above 65536, so that frames have all three forms of a length

sizes = st.one_of(st.integers(0, 130), st.sampled_from([65535, 65536, LIMIT]))


def drain(parser: FrameParser, data: bytes, messages: list[Message]) -> None:
    messages += parser.feed(data)
    while parser.has_more:
        messages += parser.feed(b"")


def read_all(parser: FrameParser, *chunks: bytes) -> list[Message]:
    messages: list[Message] = []
    for chunk in chunks:
        drain(parser, chunk, messages)
    return messages


def outcome_of(*chunks: bytes) -> tuple[list[Message], tuple[int, str] | None]:
    """The messages, and the code and reason of the fault behind them."""
    parser, messages = FrameParser(LIMIT), list[Message]()
    try:
        for chunk in chunks:
            drain(parser, chunk, messages)
    except ProtocolFault as fault:
        return messages, (fault.code, fault.reason)
    return messages, None


def fault_of(*chunks: bytes) -> int | None:
    """The code that the connection is to be closed with."""
    _, fault = outcome_of(*chunks)
    return fault and fault[0]


@st.composite
def whole_messages(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    opcode, payload = draw(st.sampled_from([TEXT, BINARY])), b"x" * draw(sizes)
    return client_frame(opcode, payload), [(opcode, payload)]


@st.composite
def controls(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    frame = (draw(st.sampled_from([PING, PONG])), draw(st.binary(max_size=125)))
    return client_frame(*frame), [frame]


@st.composite
def fragmented_messages(draw: st.DrawFn) -> tuple[bytes, list[Message]]:
    """A text cut anywhere, also within a character, with control frames between its pieces."""
    text = draw(st.text(max_size=80)).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), min_size=1, max_size=4)))
    stream, messages = client_frame(TEXT, text[: cuts[0]], fin=False), list[Message]()
    for start, end in pairwise([*cuts, len(text)]):
        between, said = draw(controls())
        stream += between + client_frame(CONTINUATION, text[start:end], fin=False)
        messages += said
    return stream + client_frame(CONTINUATION), [*messages, (TEXT, text)]


streams = st.lists(whole_messages() | controls() | fragmented_messages(), min_size=1, max_size=4).map(
    lambda parts: (b"".join(part[0] for part in parts), [m for part in parts for m in part[1]])
)


@given(streams, st.lists(st.integers(0, 300), max_size=12))
def test_any_split_of_a_byte_stream_gives_the_same_messages(
    stream_and_messages: tuple[bytes, list[Message]], cuts: list[int]
) -> None:
    stream, messages = stream_and_messages
    parser = FrameParser(LIMIT)

    received = read_all(parser, *(stream[a:b] for a, b in pairwise([0, *sorted(cuts), len(stream)])))

    assert received == messages
    assert not parser.has_more


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_bytes_give_the_same_messages_and_fault_however_they_are_split(stream: bytes, cut: int) -> None:
    assert outcome_of(stream) == outcome_of(stream[:cut], stream[cut:])


def test_a_message_is_whole_when_its_bytes_come_one_by_one() -> None:
    parser = FrameParser(LIMIT)
    messages = [m for byte in client_frame(TEXT, b"x" * 300) for m in parser.feed(bytes((byte,)))]

    assert messages == [(TEXT, b"x" * 300)]


def test_a_flood_of_frames_is_taken_in_turns() -> None:
    parser = FrameParser(LIMIT)

    turn = parser.feed(client_frame(PING) * (MAX_FRAMES_PER_TURN + 5))

    assert (len(turn), parser.has_more) == (MAX_FRAMES_PER_TURN, True)
    assert (len(parser.feed(b"")), parser.has_more) == (5, False)


def test_the_messages_ahead_of_a_fault_come_first() -> None:
    messages, fault = outcome_of(client_frame(TEXT, b"good") + client_frame(3))

    assert (messages, fault) == ([(TEXT, b"good")], (1002, "opcode 3 is reserved"))


def test_a_fault_is_the_same_when_messages_came_ahead_of_it() -> None:
    rest = client_frame(CONTINUATION, b"x" * (LIMIT // 2 + 1))

    assert outcome_of(client_frame(TEXT, b"\xc3", fin=False) + client_frame(PING) + rest) == (
        [(PING, b"")],
        (1007, "a text is not valid UTF-8"),
    )


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b"\x81\x03abc", id="unmasked"),
        pytest.param(client_frame(TEXT, b"x", reserved=0x40), id="RSV1, as a compressed frame has"),
        pytest.param(client_frame(TEXT, b"x", reserved=0x20), id="RSV2"),
        pytest.param(client_frame(TEXT, b"x", reserved=0x10), id="RSV3"),
        pytest.param(client_frame(3), id="reserved data opcode"),
        pytest.param(client_frame(11), id="reserved control opcode"),
        pytest.param(client_frame(PING, b"x" * 126), id="long ping"),
        pytest.param(client_frame(PING, fin=False), id="fragmented ping"),
        pytest.param(client_frame(CONTINUATION), id="continuation of nothing"),
        pytest.param(client_frame(TEXT, fin=False) + client_frame(TEXT), id="new message within another"),
    ],
)
def test_a_broken_frame_is_a_protocol_error(frame: bytes) -> None:
    assert fault_of(frame) == 1002


@pytest.mark.parametrize("head", [b"\xc1\xfe", b"\x81\x7e", b"\x89\xff"])
def test_a_broken_head_is_a_fault_before_its_length_has_come(head: bytes) -> None:
    assert fault_of(head) == 1002


def test_a_frame_over_the_limit_is_a_fault_before_its_payload_has_come() -> None:
    assert fault_of(client_frame(TEXT, b"x" * (LIMIT + 1))[:14]) == 1009


def test_a_length_beyond_all_reason_is_too_big() -> None:
    assert fault_of(b"\x81\xff" + b"\xff" * 12) == 1009


def test_a_message_over_the_limit_in_fragments_is_too_big() -> None:
    half = b"x" * (LIMIT // 2 + 1)

    assert fault_of(client_frame(TEXT, half, fin=False), client_frame(CONTINUATION, half)) == 1009


def test_fragments_of_a_message_are_bounded_in_number_even_when_they_are_empty() -> None:
    start, more = client_frame(TEXT, fin=False), client_frame(CONTINUATION, fin=False)
    parser = FrameParser(LIMIT)

    assert read_all(parser, start + more * (MAX_FRAGMENTS - 1)) == []
    with pytest.raises(ProtocolFault) as caught:
        parser.feed(more)
    assert caught.value.code == 1009


@pytest.mark.parametrize(
    "chunks",
    [
        [client_frame(TEXT, b"\xff")],
        [client_frame(TEXT, "\ud800".encode(errors="surrogatepass"))],
        [client_frame(TEXT, b"\xc3")],
        [client_frame(TEXT, b"\xff", fin=False)],
        [client_frame(TEXT, b"\xc3", fin=False), client_frame(CONTINUATION, b"x")],
    ],
)
def test_a_text_that_is_not_utf_8_is_invalid_data(chunks: list[bytes]) -> None:
    assert fault_of(*chunks) == 1007


def test_binary_data_is_not_looked_at() -> None:
    parser = FrameParser(LIMIT)
    fragments = client_frame(BINARY, b"\xff", fin=False) + client_frame(CONTINUATION, b"\xc3")

    assert read_all(parser, client_frame(BINARY, b"\xff") + fragments) == [
        (BINARY, b"\xff"),
        (BINARY, b"\xff\xc3"),
    ]


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 4999])
def test_a_close_frame_tells_its_code(code: int) -> None:
    assert parse_close(code.to_bytes(2, "big") + "Grüße".encode()) == code


def test_a_close_frame_may_be_empty() -> None:
    assert parse_close(b"") == 1005


@pytest.mark.parametrize(
    "payload", [b"\x03", *(code.to_bytes(2, "big") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000))]
)
def test_a_malformed_close_frame_is_a_protocol_error(payload: bytes) -> None:
    with pytest.raises(ProtocolFault) as caught:
        parse_close(payload)
    assert caught.value.code == 1002


def test_the_reason_of_a_close_frame_is_utf_8() -> None:
    with pytest.raises(ProtocolFault) as caught:
        parse_close((1000).to_bytes(2, "big") + b"\xff")
    assert caught.value.code == 1007
