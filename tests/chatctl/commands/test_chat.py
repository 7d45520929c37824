"""`chatctl chat` as its user runs it: a process of its own, in a pipe or in a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chatctl.conftest import Run
from tests.support.device import CONVERSATION, Connect
from tests.support.server import RunningServer, running_server

CHAT = [sys.executable, "-m", "chatctl", "chat"]
PATIENCE = 20.0


def pipe(
    server: RunningServer, text: str, *options: str, user: str = "kai"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CHAT, user, CONVERSATION, "--url", server.url, *options],
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


# -- in a pipe ---------------------------------------------------------------------------------------


def test_each_line_of_a_pipe_is_a_message(server: RunningServer) -> None:
    result = pipe(server, "hello\nworld")

    assert (result.returncode, result.stdout, result.stderr) == (0, "✓✓ you: hello\n✓✓ you: world\n", "")


def test_a_failed_message_is_told_and_makes_exit_code_1_but_the_others_are_sent(
    server: RunningServer,
) -> None:
    result = pipe(server, f"one\n{'x' * 4001}\ntwo\n")

    assert result.returncode == 1
    assert result.stdout.startswith("✓✓ you: one\n✗ you: xxx")
    assert result.stdout.endswith("✓✓ you: two\n")
    assert re.fullmatch(r"chatctl: not delivered: .*\(message_too_long\)\n", result.stderr)


def test_json_prints_frames_alone(server: RunningServer) -> None:
    result = pipe(server, "hello\n \n", "--json")

    saved, nack = map(json.loads, result.stdout.splitlines())
    assert result.returncode == 1
    assert (saved["type"], saved["data"], saved["seq"]) == ("CHAT_MESSAGE", "hello", 1)
    assert (nack["type"], nack["error"]["code"]) == ("NACK", "empty_message")
    assert result.stderr == ""


def test_over_the_rate_limit_a_pipe_waits_instead_of_failing(tmp_path: Path) -> None:
    with running_server(tmp_path, rate_limit__messages=2, rate_limit__window=0.5) as server:
        assert pipe(server, "1\n2\n3\n4\n5\n").returncode == 0
        items = server.get(f"/api/conversations/{CONVERSATION}/messages").json()["items"]

        assert [frame["data"] for frame in items] == ["1", "2", "3", "4", "5"]


def test_what_comes_while_waiting_is_printed(server: RunningServer) -> None:
    with subprocess.Popen(
        [*CHAT, "kai", CONVERSATION, "--url", server.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as chat:
        assert chat.stdin and chat.stdout
        chat.stdin.write("hello\n")
        chat.stdin.flush()
        assert chat.stdout.readline() == "✓✓ you: hello\n"
        server.post("/api/send-ai-message", {"conversation_id": CONVERSATION, "message": "Hi \x1b[2J"})
        assert chat.stdout.readline() == "Alex: Hi \\x1b[2J\n"
        chat.stdin.close()
        assert chat.wait(PATIENCE) == 0


def test_the_end_of_the_session_ends_a_pipe_that_is_still_open(
    server: RunningServer, connect_device: Connect
) -> None:
    with subprocess.Popen(
        [*CHAT, "kai", CONVERSATION, "--url", server.url, "--client-id", "phone"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as chat:
        assert chat.stdin and chat.stdout and chat.stderr
        chat.stdin.write("hello\n")
        chat.stdin.flush()
        chat.stdout.readline()
        connect_device(server, "phone")
        assert chat.wait(PATIENCE) == 1
        assert "4500" in chat.stderr.read()


def test_a_conversation_of_another_user_is_one_line_and_exit_code_1(server: RunningServer) -> None:
    pipe(server, "mine\n")

    result = pipe(server, "yours\n", user="eve")

    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"chatctl: the server ended the chat: .* \(1008\)\n", result.stderr)


def test_a_server_that_is_not_there_is_one_line_and_exit_code_1(chatctl: Run) -> None:
    result = chatctl("chat", "kai", "conv", "--url", "http://127.0.0.1:1")

    assert result == (1, "", "chatctl: cannot reach http://127.0.0.1:1: Connection refused\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("k ai", "conv"), "USER: 1 to 128 letters, digits or . _ : @ -"),
        (("kai", "c/v"), "CONVERSATION: 1 to 128 letters, digits or . _ : @ -"),
        (("kai", "conv", "--client-id", ""), "--client-id: 1 to 128 letters, digits or . _ : @ -"),
        (("kai", "conv", "--url", "example.org"), "not an address of a server: example.org"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(chatctl: Run, arguments: tuple[str, ...], told: str) -> None:
    assert chatctl("chat", *arguments) == (2, "", f"chatctl: {told}\n")


# -- in a terminal -----------------------------------------------------------------------------------


class Screen:
    """A terminal with a chat in it; `seen` is all that was written to it, without colours and movements."""

    def __init__(self, server: RunningServer, *options: str) -> None:
        self._own, other = pty.openpty()
        self.process = subprocess.Popen(
            [*CHAT, "kai", CONVERSATION, "--url", server.url, *options],
            stdin=other,
            stdout=other,
            stderr=other,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )
        os.close(other)
        self._raw = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while data := os.read(self._own, 65536):
                self._raw += data
        except OSError:  # the other end is closed
            pass

    @property
    def seen(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self._raw.decode(errors="replace"))

    def type(self, text: str) -> None:
        os.write(self._own, text.encode())

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not appear in:\n{self.seen}"
            time.sleep(0.02)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._own)


@contextmanager
def screen(server: RunningServer, *options: str) -> Iterator[Screen]:
    it = Screen(server, *options)
    try:
        yield it
    finally:
        it.end()


def test_two_terminals_are_two_devices(server: RunningServer) -> None:
    with screen(server) as phone, screen(server) as laptop:
        phone.wait_for("connected")
        laptop.wait_for("connected")
        phone.type("good morning\r")
        phone.wait_for("✓✓ you good morning")
        laptop.wait_for("✓✓ you, elsewhere good morning")


def test_a_terminal_begins_with_what_was_said_before_and_leaves_with_exit_code_0(
    server: RunningServer,
) -> None:
    pipe(server, "said before\n")
    with screen(server) as terminal:
        terminal.wait_for("✓✓ you said before")
        terminal.type("/quit\r")
        assert terminal.process.wait(PATIENCE) == 0


def test_a_refused_message_can_be_retried(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, rate_limit__messages=1, rate_limit__window=1.0) as server,
        screen(server) as terminal,
    ):
        terminal.wait_for("connected")
        terminal.type("one\r")
        terminal.type("two\r")
        terminal.wait_for("✗  you two")
        deadline = time.monotonic() + PATIENCE
        while "✓✓ you two" not in terminal.seen and time.monotonic() < deadline:
            terminal.type("/retry\r")
            time.sleep(0.5)
        terminal.wait_for("✓✓ you two")


def test_a_terminal_survives_its_servers_restart(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, screen(server) as terminal:
        terminal.wait_for("connected")
        server.kill()
        terminal.wait_for("reconnecting")
        terminal.type("are you there?\r")
        terminal.wait_for("✓  you are you there?")
        with running_server(tmp_path, server__port=server.port):
            terminal.type("/now\r")
            terminal.wait_for("✓✓ you are you there?")


def test_a_replaced_terminal_says_so_and_ends_with_exit_code_1(
    server: RunningServer, connect_device: Connect
) -> None:
    with screen(server, "--client-id", "phone") as terminal:
        terminal.wait_for("connected")
        connect_device(server, "phone")
        terminal.wait_for("the server ended the chat")
        assert terminal.process.wait(PATIENCE) == 1
