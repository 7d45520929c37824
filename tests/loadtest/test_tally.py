"""Accounts of several processes add up, also when they come over a wire."""

from loadtest.ledger import Fault, Ledger
from loadtest.recorder import Recorder
from loadtest.tally import Tally


def a_tally(latency: float) -> Tally:
    recorder = Recorder(start=0.0, measure_from=10.0, listener=lambda *_: None)
    for due in (5.0, 15.0):
        recorder.sent(due, due)
        recorder.acked(due, due + latency)
        recorder.delivered(due, due + latency)
    ledger = Ledger("conv")
    ledger.note_sent(None, "m1", "text", 0.0, 0.0)
    ledger.note_nack("m1", "rate_limited", 0.1)
    ledger.note_sent(None, "m2", "text", 0.0, 0.0)
    ledger.judge([])
    recorder.tally.add_ledger(ledger)
    recorder.tally.violations["windows"] = ["31 in a window"]
    return recorder.tally


def test_the_warm_up_is_left_out_of_the_latencies() -> None:
    tally = a_tally(0.010)
    assert (tally.ack.count, tally.delivery.count, tally.measured_sent) == (1, 1, 1)


def test_tallies_add_up_over_the_wire() -> None:
    total = Tally()
    for latency in (0.010, 0.100):
        total.add(Tally.model_validate(a_tally(latency).model_dump()))
    assert (total.sent, total.nacked, total.faults) == (4, {"rate_limited": 2}, {"unanswered": 2})
    assert (total.ack.count, round(total.ack.maximum() or 0)) == (2, 100)
    assert total.violations == {"windows": ["31 in a window"] * 2}
    assert [finding.fault for finding in total.first_findings()] == [Fault.UNANSWERED] * 2


def test_seconds_are_given_out_once_they_are_over() -> None:
    recorder = Recorder(start=100.0, measure_from=100.0, listener=lambda *_: None)
    recorder.sent(100.2, 100.2)
    recorder.acked(100.2, 101.5)
    assert list(recorder.finished_seconds(101.9)) == [0]
    assert list(recorder.finished_seconds(102.0)) == [1]
    assert recorder.finished_seconds(200.0) == {}
