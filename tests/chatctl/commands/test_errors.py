import json

from chatctl.advice import CLOSES, ERRORS
from server.protocol import CloseCode, ErrorCode
from tests.chatctl.conftest import Run


def test_there_is_advice_for_every_code() -> None:
    assert set(ERRORS) == set(ErrorCode)
    assert set(CLOSES) == {*CloseCode, 1006}


def test_a_code_is_explained_with_what_to_do(chatctl: Run) -> None:
    code, out, _ = chatctl("errors", "rate_limited")
    assert code == 0
    assert out.startswith("rate_limited (retry)\n")
    assert "What to do: Wait error.retry_after seconds" in out


def test_a_close_code_is_found_by_number_and_by_name(chatctl: Run) -> None:
    assert chatctl("errors", "4500").out == chatctl("errors", "replaced").out
    assert "(do not reconnect)" in chatctl("errors", "4500").out


def test_the_code_of_a_connection_that_broke_is_known_too(chatctl: Run) -> None:
    assert chatctl("errors", "1006").out.startswith("1006 ABNORMAL_CLOSURE (reconnect)\n")


def test_without_a_code_all_are_listed(chatctl: Run) -> None:
    entries = json.loads(chatctl("errors", "--json").out)
    assert len(entries) == len(ErrorCode) + len(CLOSES)
    out = chatctl("errors").out
    assert all(entry["code"] in out for entry in entries)


def test_an_unknown_code_exits_2_and_suggests_one(chatctl: Run) -> None:
    assert chatctl("errors", "rate_limted") == (
        2,
        "",
        "chatctl: no such code: rate_limted; did you mean rate_limited?\n",
    )
