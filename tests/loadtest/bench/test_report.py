"""Medians over the runs, and notes about what takes away from them."""

from collections import Counter

from loadtest.bench.cases import Outcome
from loadtest.bench.report import document, table


def test_tells_medians_and_what_takes_away_from_them() -> None:
    outcomes = [
        Outcome({"msgs_s": 1000.0, "cpu_us_msg": None}),
        Outcome({"msgs_s": 3000.0, "cpu_us_msg": None}, Counter({"out of order": 2}), generator_cpu=95.0),
        Outcome({"msgs_s": 1234.567, "cpu_us_msg": 50.0}),
    ]
    bench = document({"D3": outcomes}, seconds=3.0)
    case = bench["cases"]["D3"]
    assert case["figures"] == {"msgs_s": 1235.0, "cpu_us_msg": 50.0}
    assert [run["msgs_s"] for run in case["runs"]] == [1000.0, 3000.0, 1235.0]
    assert case["notes"] == ["out of order: 2", "the generator used 95% of a CPU: the server can do more"]
    head, rows = table(bench)
    assert head == ["case", "messages/s", "CPU us each", "notes"]
    assert rows[0][:3] == ["D3", 1235.0, 50.0]
