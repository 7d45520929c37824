import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode

from server.core.websocket_frames import MAX_CLOSE_REASON, close_frame, text_frame
from server.protocol import CloseCode


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 1023, 1024, 65535, 65536, 70_000])
def test_a_text_frame_is_as_rfc_6455_has_it(size: int) -> None:
    assert text_frame(b"x" * size) == Frame(Opcode.TEXT, b"x" * size).serialize(mask=False)


@given(st.sampled_from(CloseCode), st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_close_frame_carries_its_reason_cut_at_the_end_of_a_character(code: CloseCode, reason: str) -> None:
    frame = close_frame(code, reason)
    shown = frame[4:].decode()
    assert reason.startswith(shown)
    assert len(shown.encode()) <= MAX_CLOSE_REASON
    left = reason[len(shown) :]
    assert not left or len((shown + left[0]).encode()) > MAX_CLOSE_REASON
    assert frame == Frame(Opcode.CLOSE, Close(code, shown).serialize()).serialize(mask=False)
