"""The scenarios against the real server."""

from pathlib import Path

from tests.loadtest.running import run_scenario
from tests.support.server import running_server


def test_a_device_that_changes_its_network_has_one_connection_and_misses_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path, rate_limit__enabled=False) as server:
        result = run_scenario(server.url, "cluster", users=6, rate=120.0)
    assert result.failed_because == []
    assert result.valid
    assert result.reconnects > 6


def test_reconnect_cuts_and_loses_nothing(tmp_path: Path) -> None:
    with running_server(tmp_path, rate_limit__enabled=False) as server:
        result = run_scenario(server.url, "reconnect", users=10, rate=100.0)
    assert result.failed_because == []
    assert result.valid
    assert result.reconnects > 10
    assert result.latency_ms.reconnect.count == result.reconnects
    assert result.disconnects == {}
