"""The search for the highest load at which the objectives hold."""

import pytest

from loadtest.capacity import Search


def found(
    limit: float, start: float, most: float = 100_000.0, least: float = 1.0
) -> tuple[Search, list[float]]:
    """A search against a server that takes up to `limit`, and what it tried."""
    search, tried = Search(start, most, least), []
    while (value := search.next_try()) is not None:
        tried.append(value)
        search.tell(value, value <= limit)
    return search, tried


@pytest.mark.parametrize("limit", [3.0, 70.0, 100.0, 101.0, 1777.0, 99_000.0])
def test_what_is_found_holds_and_a_tenth_more_does_not(limit: float) -> None:
    search, tried = found(limit, start=100.0)
    assert search.held is not None and search.failed is not None
    assert search.held <= limit < search.failed
    assert search.failed <= max(search.held * 1.1, search.held + 1)
    assert len(tried) < 20


def test_it_doubles_until_it_is_too_much_and_goes_down_from_a_start_that_is() -> None:
    assert found(500.0, start=100.0)[1][:4] == [100.0, 200.0, 400.0, 800.0]
    assert found(30.0, start=100.0)[1][:3] == [100.0, 50.0, 25.0]


def test_it_stops_at_the_most_that_may_be_tried() -> None:
    search, tried = found(1e9, start=100.0, most=300.0)
    assert (search.held, search.failed, tried) == (300.0, None, [100.0, 200.0, 300.0])


def test_where_nothing_holds_nothing_is_found() -> None:
    search, tried = found(0.0, start=12.0, least=3.0)
    assert (search.held, tried) == (None, [12.0, 6.0, 3.0])
