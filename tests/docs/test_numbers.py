"""Numbers that the pages name are those of the code."""

from pathlib import Path

import pytest

from server.runtime.rooms.room import MAX_UNANSWERED
from server.store.sqlite_saving import MAX_ROWS
from server.transport.frame_parser import MAX_FRAMES_PER_TURN

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("message-path.md", f"At most {MAX_FRAMES_PER_TURN} frames of one read"),
        ("message-path.md", f"one INSERT for up to {MAX_ROWS} rows"),
        (
            "architecture.md",
            f"Only a connection with {MAX_UNANSWERED} unanswered messages is read no further",
        ),
    ],
)
def test_a_number_in_a_page_is_the_constants(page: str, sentence: str) -> None:
    text = " ".join((DOCS / page).read_text(encoding="utf-8").split())
    assert sentence in text
