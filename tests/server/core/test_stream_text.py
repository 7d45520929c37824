"""The text of an answer that another node writes, however its pieces overlap."""

from hypothesis import given
from hypothesis import strategies as st

from server.core.stream_text import HeardText, Piece

TEXT = "Hello, you 👋"


@given(st.lists(st.tuples(st.integers(0, len(TEXT)), st.integers(0, len(TEXT)))))
def test_what_is_new_in_each_piece_follows_on_what_was_heard(extents: list[tuple[int, int]]) -> None:
    heard, told, index = HeardText(), "", -1
    for number, (offset, end) in enumerate(extents):
        piece = Piece(TEXT[offset:end], number, offset)
        assert heard.misses(piece) == (offset > len(told))
        if heard.misses(piece):
            continue
        if (news := heard.add(piece)) is not None:
            assert (news.offset, news.index > index) == (len(told), True)
            told, index = told + news.text, news.index
    assert TEXT.startswith(told)
    whole = heard.whole()
    assert whole == (Piece(told, index, 0) if told else None)
