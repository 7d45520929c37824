"""The AI services of docs/backend.md are complete: they answer as they stand there."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.device import Connect
from tests.support.server import running_server
from tests.support.webhook_service import SECRET

PAGE = Path(__file__).parents[2] / "docs" / "backend.md"


@contextmanager
def service_on_the_page(folder: Path, mark: str, *arguments: str) -> Iterator[None]:
    """Runs the page's program that has `mark` in it, as it stands there."""
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    [code] = [program for program in programs if mark in program]
    assert sum(1 for line in code.splitlines() if line.strip()) <= 40
    program = folder / "service.py"
    program.write_text(code, encoding="utf-8")
    environment = os.environ | {"WEBHOOK_SECRET": SECRET}
    process = subprocess.Popen([sys.executable, str(program), *arguments], env=environment)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the service did not start")


@pytest.mark.parametrize("mark", ["import FastAPI", "import BaseHTTPRequestHandler"])
def test_a_webhook_on_the_page_answers_what_is_signed_and_nothing_else(
    tmp_path: Path, connect_device: Connect, mark: str
) -> None:
    port = free_port()
    settings = {
        "ai__responder": "webhook",
        "ai__webhook_url": f"http://127.0.0.1:{port}/turns",
        "ai__webhook_attempts": 1,
        "ai__typing_delay": "[0, 0]",
    }
    with service_on_the_page(tmp_path, mark, str(port)):
        wait_for_port(port)
        with running_server(tmp_path, **settings, ai__webhook_secrets=f'["{SECRET}"]') as server:
            phone = connect_device(server, "phone")
            phone.say("m1", "Hello.")
            assert phone.receive_until("AI_RESPONSE")["data"] == "You said: Hello. Tell me more!"
            server.kill()
        other = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
        with running_server(tmp_path, **settings, ai__webhook_secrets=f'["{other}"]') as server:
            phone = connect_device(server, "phone")
            phone.say("m2", "Hello.")
            while phone.receive_until("SYSTEM")["data"]["event"] != "no_answer":
                pass
            assert "answered 401" in server.get("/api/dead-letters").json()["items"][0]["last_error"]


def test_the_service_on_the_page_answers_in_40_lines_what_comes_while_it_types_too(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, ai__typing_delay="[0.5, 0.6]") as server:
        phone = connect_device(server, "phone")
        with service_on_the_page(tmp_path, "import Request, urlopen", server.url):
            phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "Hello."})
            assert phone.receive_until("READ_RECEIPT")["data"]["seq"] == 1
            assert phone.receive_until("TYPING_INDICATOR")["data"]["is_typing"] is True
            phone.say("m2", "More.")  # while it types
            assert phone.receive_until("AI_RESPONSE")["data"] == "You said: Hello. Tell me more!"
            assert phone.receive_until("AI_RESPONSE")["data"] == "You said: More. Tell me more!"
            phone.ask({"type": "CHAT_MESSAGE", "message_id": "m3", "data": "Bye."})
            assert phone.receive_until("AI_RESPONSE")["data"] == "You said: Bye. Tell me more!"
            history = server.get("/api/conversations/conv_kai_ai_alex/messages").json()["items"]
            assert [frame["seq"] for frame in history] == [1, 2, 3, 4, 5, 6]
