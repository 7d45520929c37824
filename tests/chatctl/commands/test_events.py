import json
import os
import signal
import subprocess
import sys
from typing import Any

from chatctl.commands.events import fresh
from tests.chatctl.conftest import Run
from tests.chatctl.rest_server import RestServer


def event(number: int) -> dict[str, Any]:
    return {"at": f"2026-01-01T00:00:{number:02}.000Z", "event": "connect", "user_id": "u"}


def listed(*numbers: int) -> tuple[int, Any]:
    return 200, {"items": [event(number) for number in numbers], "has_more": False}


def test_events_are_json_lines_the_oldest_first(chatctl: Run, rest: RestServer) -> None:
    rest.answers["GET /stats/events"] = listed(2, 1)
    out = chatctl("events", "--limit", "7").out
    assert chatctl("events", "--json").out == out
    assert [json.loads(line) for line in out.splitlines()] == [event(1), event(2)]
    assert rest.requests[0].query == {"limit": "7"}


def test_only_what_came_since_is_fresh() -> None:
    assert fresh([event(3), event(2), event(1)], [event(1)]) == [event(3), event(2)]
    assert fresh([event(1)], [event(1)]) == []
    assert fresh([event(9), event(8)], [event(1)]) == [event(9), event(8)]
    assert fresh([event(1)], []) == [event(1)]
    assert fresh([event(3), event(1)], [event(2), event(1)]) == [event(3)]


def test_follow_goes_on_with_each_event_once(rest: RestServer) -> None:
    rest.answers["GET /stats/events"] = listed(1)
    command = [sys.executable, "-m", "chatctl", "events", "--follow", "--url", rest.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == event(1)
        rest.answers["GET /stats/events"] = listed(3, 2, 1)
        assert json.loads(process.stdout.readline()) == event(2)
        assert json.loads(process.stdout.readline()) == event(3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
