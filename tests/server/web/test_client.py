"""The JavaScript client's own tests, its types and its declarations, by Node."""

import json
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.server import running_server

ROOT = Path(__file__).parents[3]

if shutil.which("node") is None or not (ROOT / "node_modules/ws").exists():
    pytest.skip("no Node or its packages: install Node 20, then `npm ci`", allow_module_level=True)


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_client_and_page_do_what_their_own_tests_say() -> None:
    suites = sorted(str(path) for path in Path(__file__).parent.rglob("*.test.*js"))
    assert suites
    run("node", "--test", *suites)


def test_two_devices_in_node_see_every_message_once_and_in_order_though_the_server_is_killed(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(running_server(tmp_path))
        script = ["node", "tests/server/web/client/two-devices.js", server.url]
        devices = stack.enter_context(subprocess.Popen(script, cwd=ROOT, stdout=subprocess.PIPE, text=True))
        stack.callback(devices.kill)
        assert devices.stdout is not None
        acked = [int(devices.stdout.readline()) for _ in range(4)]
        server.kill()
        stack.enter_context(running_server(tmp_path, server__port=server.port))
        acked += [int(devices.stdout.readline()) for _ in range(8)]
        seen = json.loads(devices.stdout.readline())
    assert acked == list(range(1, 13))
    assert seen == [[[seq, f"text {seq}"] for seq in acked]] * 2


def test_in_node_answers_grow_on_every_device_and_any_of_them_stops_one(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        told = json.loads(run("node", "tests/server/web/client/streaming.js", server.url))
    whole = "".join(f"\U0001f600 {number} " for number in range(20))
    assert told["nothing"] == "validation_failed"
    for device in told["devices"]:
        finished, stopped = device["messages"]
        assert finished == ["whole", whole, None]
        assert (stopped[0], stopped[2]) == ("stopped", "cancelled")
        texts = {"whole": whole, "stopped": stopped[1]}
        assert [text for message_id, text in device["texts"] if not texts[message_id].startswith(text)] == []
        assert device["texts"][-1] == ["stopped", stopped[1]]  # what was shown is what is saved
        assert len(device["texts"]) > 5
        assert device["errors"] == []


def test_the_ai_sdk_shows_answers_as_they_are_written_and_stops_them(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        told = json.loads(run("node", "tests/server/web/integrations/real-server.js", server.url))
    texts, finishes = zip(*told["saved"], strict=True)
    assert told["status"] == "ready"
    assert told["steps"] > 3
    assert told["shown"][:3] == ["Hello", "".join(f"{number} " for number in range(20)), "And more?"]
    assert told["shown"][:3] == list(texts[:3])
    assert finishes == (None, None, None, "cancelled")
    assert texts[3].startswith(told["shown"][3])


def test_the_types_of_client_and_page_hold() -> None:
    run("node_modules/.bin/tsc", "-p", "tsconfig.json")


def test_the_declarations_are_those_of_the_modules(tmp_path: Path) -> None:
    run("node", "tests/server/web/declare.js", str(tmp_path))
    made = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert sorted(made) == ["chat-ai-sdk.d.ts", "chat-client.d.ts", "chat-react.d.ts"]
    assert made == {name: (ROOT / "server/web" / name).read_text() for name in made}


@pytest.mark.parametrize("config", ["tsconfig.json", "tsconfig.integrations.json"])
def test_the_declarations_are_strict_enough_for_strict_typescript(config: str) -> None:
    run("node_modules/.bin/tsc", "-p", f"tests/server/web/types/{config}")
