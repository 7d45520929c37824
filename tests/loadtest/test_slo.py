"""Objectives are read as people write them, and a wrong one is answered with what would be right."""

import pytest

from loadtest import slo


@pytest.mark.parametrize(
    ("expression", "metric", "comparison", "bound"),
    [
        ("ack_p99<50ms", "ack_p99", "<", 50.0),
        ("delivery_p99.9 <= 0.2s", "delivery_p99.9", "<=", 200.0),
        ("ack_p50<800us", "ack_p50", "<", 0.8),
        ("ack_max<100", "ack_max", "<", 100.0),
        ("lost==0", "lost", "==", 0.0),
        ("nack_rate<1%", "nack_rate", "<", 1.0),
        ("send_rate>=900/s", "send_rate", ">=", 900.0),
        ("rss_growth < 5%", "rss_growth", "<", 5.0),
    ],
)
def test_reads_an_objective(expression: str, metric: str, comparison: str, bound: float) -> None:
    read = slo.parse(expression)
    assert (read.metric, read.comparison) == (metric, comparison)
    assert read.bound == pytest.approx(bound)


@pytest.mark.parametrize(
    ("expression", "hint"),
    [
        ("ack_p99", "ack_p99<50ms"),
        ("", "ack_p99<50ms"),
        ("ack_p99<fast", "ack_p99<50ms"),
        ("ack_p99<50ms ack_p50<1ms", "ack_p99<50ms"),
        ("akc_p99<50ms", "did you mean ack_p99?"),
        ("loss==0", "did you mean lost?"),
        ("zzz<1", "known are"),
        ("ack_p100<1ms", "ack_p"),
        ("ack_p99<50%", "ms or s or us"),
        ("lost<1%", "no unit"),
        ("nack_rate<0.01", "%"),
    ],
)
def test_says_in_one_line_what_is_wrong(expression: str, hint: str) -> None:
    with pytest.raises(slo.SLOError) as caught:
        slo.parse(expression)
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "value", "holds"),
    [
        ("ack_p99<50ms", 49.9, True),
        ("ack_p99<50ms", 50.0, False),
        ("ack_p99<=50ms", 50.0, True),
        ("lost==0", 0, True),
        ("lost==0", 1, False),
        ("lost!=0", 1, True),
        ("sent>10", 11, True),
        ("sent>=10", 9, False),
    ],
)
def test_compares(expression: str, value: float, holds: bool) -> None:
    assert slo.parse(expression).holds(value) is holds


def test_what_was_not_measured_meets_no_objective() -> None:
    assert not slo.parse("ack_p99<50ms").holds(None)


def test_tells_the_percentile() -> None:
    assert slo.parse("delivery_p99.9<1s").percentile == ("delivery", 99.9)
    assert slo.parse("lost==0").percentile is None
