"""`chatctl chat` as its user runs it: a process of its own, in a pipe or in a terminal."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import httpx2
import pytest

from tests.chatctl.conftest import Run
from tests.support.device import Connect
from tests.support.server import RunningServer, running_server
from tests.support.terminal import PATIENCE, terminal


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("server"), rate_limit__enabled=False) as it:
        yield it


@pytest.fixture
def room(request: pytest.FixtureRequest) -> str:
    """A conversation of the test's own."""
    return re.sub(r"\W", "-", f"{request.node.name}")[-100:] + ".ai_alex"


def chat(server: RunningServer, room: str, *options: str, user: str = "kai") -> list[str]:
    return [sys.executable, "-m", "chatctl", "chat", user, room, "--url", server.url, *options]


# -- in a pipe ---------------------------------------------------------------------------------------


def pipe(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, input=text, capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False
    )


@contextmanager
def open_pipe(command: list[str], line: str) -> Iterator[subprocess.Popen[str]]:
    """A chat that was given one line, and whose input is not at its end."""
    ends = subprocess.PIPE
    with subprocess.Popen(command, stdin=ends, stdout=ends, stderr=ends, encoding="utf-8") as process:
        assert process.stdin and process.stdout
        process.stdin.write(line + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == f"✓✓ you: {line}\n"
        yield process
        process.kill()


def test_each_line_of_a_pipe_is_a_message(server: RunningServer, room: str) -> None:
    result = pipe(chat(server, room), "hello\nworld")

    assert (result.returncode, result.stdout, result.stderr) == (0, "✓✓ you: hello\n✓✓ you: world\n", "")


def test_a_failed_message_is_told_and_makes_exit_code_1_but_the_others_are_sent(
    server: RunningServer, room: str
) -> None:
    result = pipe(chat(server, room), f"one\n{'x' * 4001}\ntwo\n")

    assert result.returncode == 1
    assert result.stdout.startswith("✓✓ you: one\n✗ you: xxx")
    assert result.stdout.endswith("✓✓ you: two\n")
    assert re.fullmatch(r"chatctl: not delivered: .*\(message_too_long\)\n", result.stderr)


def test_json_prints_frames_alone(server: RunningServer, room: str) -> None:
    result = pipe(chat(server, room, "--json"), "hello\n \n")

    saved, nack = map(json.loads, result.stdout.splitlines())
    assert result.returncode == 1
    assert (saved["type"], saved["data"], saved["seq"]) == ("CHAT_MESSAGE", "hello", 1)
    assert (nack["type"], nack["error"]["code"]) == ("NACK", "empty_message")
    assert result.stderr == ""


def test_over_the_rate_limit_a_pipe_waits_instead_of_failing(tmp_path: Path, room: str) -> None:
    with running_server(tmp_path, rate_limit__messages=2, rate_limit__window=0.5) as server:
        result = pipe(chat(server, room), "1\n2\n3\n4\n5\n")
        items = server.get(f"/api/conversations/{room}/messages").json()["items"]

    assert (result.returncode, result.stderr) == (0, "")
    assert [frame["data"] for frame in items] == ["1", "2", "3", "4", "5"]


def test_what_others_say_meanwhile_is_printed(server: RunningServer, room: str) -> None:
    with open_pipe(chat(server, room), "hello") as process:
        assert process.stdin and process.stdout
        server.post("/api/send-ai-message", {"conversation_id": room, "message": "Hi \x1b[2J"})

        assert process.stdout.readline() == "Alex: Hi \\x1b[2J\n"
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def test_the_end_of_the_session_ends_a_pipe_that_is_still_open(
    server: RunningServer, room: str, connect_device: Connect
) -> None:
    with open_pipe(chat(server, room, "--client-id", "phone"), "hello") as process:
        connect_device(server, "phone", conversation=room)

        assert process.wait(PATIENCE) == 1
        assert process.stderr
        assert re.fullmatch(r"chatctl: the server ended the chat: .* \(4500\)\n", process.stderr.read())


def test_a_conversation_of_another_user_is_one_line_and_exit_code_1(
    server: RunningServer, room: str, connect_device: Connect
) -> None:
    connect_device(server, "phone", conversation=room)

    result = pipe(chat(server, room, user="eve"), "let me in\n")

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


def test_two_terminals_are_two_devices(server: RunningServer, room: str) -> None:
    with terminal(*chat(server, room)) as phone, terminal(*chat(server, room)) as laptop:
        phone.wait_for("● connected")
        laptop.wait_for("● connected")
        phone.type("good morning\r")

        phone.wait_for("✓✓ you good morning")
        laptop.wait_for("✓✓ you, elsewhere good morning")


def test_a_terminal_begins_with_what_was_said_before_and_leaves_with_exit_code_0(
    server: RunningServer, room: str, connect_device: Connect
) -> None:
    phone = connect_device(server, "phone", conversation=room)
    phone.say("m1", "said before\x1b[31m")
    phone.receive_until("ACK")
    with terminal(*chat(server, room)) as screen:
        screen.wait_for("✓✓ you said before\\x1b[31m")
        screen.type("/quit\r")

        assert screen.process.wait(PATIENCE) == 0


def test_a_refused_message_stays_with_a_red_cross_until_it_is_retried(tmp_path: Path, room: str) -> None:
    with (
        running_server(tmp_path, rate_limit__messages=1, rate_limit__window=1.0) as server,
        terminal(*chat(server, room)) as screen,
    ):
        screen.wait_for("● connected")
        screen.type("one\r")
        screen.type("two\r")
        screen.wait_for("✗  you two")
        for _ in range(20):
            screen.type("/retry\r")
            if screen.shows("✓✓ you two", seconds=0.5):
                break

        screen.wait_for("✓✓ you two")
        assert "✗" not in screen.text


def test_a_terminal_survives_a_restart_of_its_server(tmp_path: Path, room: str) -> None:
    with running_server(tmp_path) as server, terminal(*chat(server, room)) as screen:
        screen.wait_for("● connected")
        server.kill()
        screen.wait_for("● reconnecting")
        screen.type("are you there?\r")
        screen.wait_for("✓  you are you there?")
        with running_server(tmp_path, server__port=server.port):
            screen.type("/now\r")

            screen.wait_for("✓✓ you are you there?")
            screen.wait_for("● connected")


def test_a_replaced_terminal_says_so_and_ends_with_exit_code_1(
    server: RunningServer, room: str, connect_device: Connect
) -> None:
    with terminal(*chat(server, room, "--client-id", "phone")) as screen:
        screen.wait_for("● connected")
        connect_device(server, "phone", conversation=room)

        screen.wait_for("chatctl: the server ended the chat")
        assert screen.process.wait(PATIENCE) == 1


# -- answers that grow -------------------------------------------------------------------------------


class Writer:
    """An AI service that writes a piece when the test says so."""

    def __init__(self, server: RunningServer, room: str, message_id: str) -> None:
        self._pieces: Queue[str | None] = Queue()
        address = f"{server.url}/api/stream-ai-message?conversation_id={room}&message_id={message_id}"
        self._thread = Thread(target=self._post, args=(address,))
        self._thread.start()

    def write(self, piece: str) -> None:
        self._pieces.put(piece)

    def end(self) -> dict[str, Any]:
        """What the server answered."""
        self._pieces.put(None)
        self._thread.join(PATIENCE)
        return self.answer

    def _post(self, address: str) -> None:
        pieces = (piece.encode() for piece in iter(self._pieces.get, None))
        headers = {"Content-Type": "text/plain"}
        self.answer: dict[str, Any] = httpx2.post(
            address, content=pieces, headers=headers, timeout=PATIENCE
        ).json()


def test_an_answer_grows_in_place_until_it_is_whole(server: RunningServer, room: str) -> None:
    with terminal(*chat(server, room)) as screen:
        screen.wait_for("● connected")
        writer = Writer(server, room, "a1")
        writer.write("One")
        screen.wait_for("One▌")
        writer.write(" two")
        screen.wait_for("One two▌")
        writer.write(" three.")
        assert writer.end()["seq"] == 1
        screen.wait_until_gone("▌")
        screen.wait_for("One two three.")
        assert screen.text.count("One two") == 1


@pytest.mark.parametrize("stop", ["/stop\r", "\x1b", "\x18"], ids=["/stop", "Esc", "Ctrl-X"])
def test_an_answer_is_stopped_by_a_key_or_a_word_and_what_was_shown_stays(
    server: RunningServer, room: str, stop: str
) -> None:
    with terminal(*chat(server, room)) as screen, terminal(*chat(server, room)) as other:
        other.wait_for("● connected, 2 devices")
        screen.wait_for("● connected, 2 devices")
        writer = Writer(server, room, "a1")
        writer.write("Once upon a time")
        screen.wait_for("Once upon a time▌")
        screen.type(stop)
        for device in (screen, other):
            device.wait_for("Once upon a time (stopped)")
        assert writer.end()["finish"] == "cancelled"
    with terminal(*chat(server, room)) as later:
        later.wait_for("Once upon a time (stopped)")


def test_an_answer_longer_than_the_screen_shows_its_end(server: RunningServer, room: str) -> None:
    with terminal(*chat(server, room)) as screen:
        screen.wait_for("● connected")
        writer = Writer(server, room, "a1")
        writer.write("\n".join(f"line {number}" for number in range(60)))
        screen.wait_for("line 59▌")
        assert "● connected" in screen.text
        writer.end()
        screen.wait_until_gone("▌")
        screen.wait_for("● connected")
        screen.wait_for("line 59")


def test_stopping_where_there_is_nothing_to_stop_says_so(server: RunningServer, room: str) -> None:
    with terminal(*chat(server, room)) as screen:
        screen.wait_for("● connected")
        screen.type("/stop\r")
        screen.wait_for("-- could not stop the answer")


# -- reading -----------------------------------------------------------------------------------------


def test_what_a_terminal_shows_is_read_that_which_came_before_too(
    server: RunningServer, room: str, connect_device: Connect
) -> None:
    connect_device(server, "phone", conversation=room)
    say = {"conversation_id": room, "message": "Are you there?"}
    assert server.post("/api/send-ai-message", say).json()["seq"] == 1
    with terminal(*chat(server, room)) as screen:
        screen.wait_for("Are you there?")
        wait_until_read(server, room, 1)
        server.post("/api/send-ai-message", say | {"message": "Hello?"})
        screen.wait_for("Hello?")
        wait_until_read(server, room, 2)


def test_what_is_printed_into_a_pipe_is_read(server: RunningServer, room: str) -> None:
    with open_pipe(chat(server, room, "--wait", "20"), "hello") as process:
        server.post("/api/send-ai-message", {"conversation_id": room, "message": "Hi!"})
        assert process.stdout and "Hi!" in process.stdout.readline()
        wait_until_read(server, room, 2)


def wait_until_read(server: RunningServer, room: str, seq: int) -> None:
    for _ in range(200):
        if server.get(f"/api/conversations/{room}").json()["last_read_seq"] == seq:
            return
        time.sleep(0.05)
    raise AssertionError(f"{seq} was not read")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_ends_it_and_leaves_the_terminal_as_it_was(
    server: RunningServer, room: str, number: int
) -> None:
    with terminal(*chat(server, room)) as screen:
        before = screen.modes
        screen.wait_for("● connected")
        assert screen.modes != before
        screen.process.send_signal(number)
        assert screen.process.wait(PATIENCE) == 128 + number
        assert screen.modes == before
        assert "Traceback" not in screen.text
    ends = server.get("/stats/events").json()["items"]
    (end,) = [one for one in ends if one["event"] == "disconnect" and one["conversation_id"] == room]
    assert end["code"] == 1001  # and no internal error, which an operator would look for
