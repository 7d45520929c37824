"""The wall clock stamps, and decides nothing else: what has to last is measured by one that nobody sets."""

import sys
import time
from pathlib import Path

from tests.support.device import CONVERSATION, Connect
from tests.support.server import running_server

# The server as it is, on a clock that a file puts forward or back, by seconds.
_SERVE = """
import sys, time
from pathlib import Path
offset, real = Path(sys.argv.pop(1)), time.time_ns
time.time_ns = lambda: real() + int(offset.read_text()) * 10**9
time.time = lambda: time.time_ns() / 1e9
from chatctl.__main__ import main
main()
"""
_INTERVAL = 0.3
_TIMEOUT = 3 * _INTERVAL


def _set(offset: Path, seconds: int) -> None:
    """At once: the server may be reading it."""
    (new := offset.with_suffix(".new")).write_text(str(seconds))
    new.replace(offset)


def test_a_clock_set_back_an_hour_delays_closes_and_reorders_nothing(
    tmp_path: Path, connect_device: Connect
) -> None:
    offset = tmp_path / "offset"
    _set(offset, 0)
    command = [sys.executable, "-c", _SERVE, str(offset), "serve"]
    settings = {
        "heartbeat__interval": _INTERVAL,
        "heartbeat__timeout": _TIMEOUT,
        "rate_limit__messages": 2,
        "rate_limit__window": 2.0,
    }
    with running_server(tmp_path, command, **settings) as server:
        phone = connect_device(server, "phone")
        phone.say("m1", "before")
        before = phone.receive_until("CHAT_MESSAGE")
        _set(offset, -3600)
        phone.say("m2", "after")
        after = phone.receive_until("CHAT_MESSAGE")
        assert after["timestamp"] < before["timestamp"]
        phone.say("m3", "too much")
        assert phone.receive_until("NACK")["error"]["retry_after"] <= 2
        tablet = connect_device(server, "tablet", last_seq=0, epoch=phone.welcome["data"]["epoch"])
        assert [tablet.receive_until("CHAT_MESSAGE")["message_id"] for _ in range(2)] == ["m1", "m2"]
        # A device that answers stays; one that does not is closed when its time is over, and no hour later.
        until = time.monotonic() + 2.0
        while time.monotonic() < until:
            phone.receive_until("PING")
            phone.send({"type": "PONG"})
        assert tablet.wait_for_close()[0] == 4001
        phone.say("m4", "still here")
        assert phone.receive_until("ACK")["seq"] == 3
        history = server.get(f"/api/conversations/{CONVERSATION}/messages").json()["items"]
        assert [message["message_id"] for message in history] == ["m1", "m2", "m4"]
