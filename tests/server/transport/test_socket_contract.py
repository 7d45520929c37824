"""What devices and the runtime may rely on, whichever implementation of the socket port serves them."""

import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import jwt
import pytest
from websockets import Origin, Subprotocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.support.device import Connect, Device
from tests.support.knock import OK, knock, verdict
from tests.support.server import RunningServer, running_server
from tests.support.wire import CLOSE, TEXT, client_frame, upgrade_request

OURS = [sys.executable, "-m", "chatctl", "serve"]
SECRET = "a secret of at least thirty-two bytes"
PLAIN_ASGI = [sys.executable, str(Path(__file__).with_name("plain_asgi.py"))]


@pytest.fixture(scope="module", params=[OURS, PLAIN_ASGI], ids=["our classes", "plain ASGI"])
def command(request: pytest.FixtureRequest) -> list[str]:
    found: list[str] = request.param
    return found


@pytest.fixture(scope="module")
def host(command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One server for all tests but those that end it; each test has a conversation of its own."""
    settings = {"rate_limit__enabled": "false", "store__durability": "process"}
    with running_server(tmp_path_factory.mktemp("host"), command, **settings) as it:
        yield it


def test_a_message_reaches_every_device_in_order_and_the_ack_comes_behind_it(
    host: RunningServer, connect_device: Connect
) -> None:
    phone, tablet = (connect_device(host, name, conversation="chat") for name in ("phone", "tablet"))
    for number in range(50):
        phone.say(f"m{number}", "grüße " * 30)

    assert [tablet.receive_until("CHAT_MESSAGE")["seq"] for _ in range(50)] == list(range(1, 51))
    first_two = [phone.receive_until("CHAT_MESSAGE")["message_id"], phone.receive_until("ACK")["message_id"]]
    assert first_two == ["m0", "m0"]
    while phone.receive_until("ACK")["message_id"] != "m49":
        pass


def test_a_long_message_comes_whole(host: RunningServer, connect_device: Connect) -> None:
    phone = connect_device(host, "phone", conversation="long")

    phone.say("m1", "x" * 4000)

    assert phone.receive_until("CHAT_MESSAGE")["data"] == "x" * 4000


def test_a_binary_frame_is_answered_and_the_connection_goes_on(
    host: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(host, "phone", conversation="binary")

    phone.socket.send(b"\x00\xff")

    assert phone.receive_until("ERROR")["error"]["code"] == "invalid_frame"
    assert phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "on"})["type"] == "ACK"


def test_a_refused_connection_is_accepted_and_then_told_why(host: RunningServer) -> None:
    refused = connect(f"{host.websocket}/ws/kai?client_id=phone", compression=None)
    with refused, pytest.raises(ConnectionClosed) as end:
        refused.recv(timeout=5)

    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 1008
    assert "conversation_id" in end.value.rcvd.reason


def test_a_page_of_a_foreign_origin_is_told_so(host: RunningServer) -> None:
    with knock(host, origin="https://evil.example") as foreign:
        code, reason = verdict(foreign)

    assert code == 1008
    assert "origin" in reason


def test_a_name_that_needs_no_escape_may_be_escaped(host: RunningServer) -> None:
    with knock(host, user="%6Bai", conversation="esc%61ped", query="&client_id=a%3Ab") as device:
        welcome = json.loads(device.recv(timeout=5))

    assert (welcome["data"]["user_id"], welcome["conversation_id"]) == ("kai", "escaped")
    assert welcome["data"]["client_id"] == "a:b"


@pytest.mark.parametrize("path", ["/", "/wss/kai", "/health", "/chat/ws/kai"])
def test_a_websocket_at_another_path_is_refused_by_http(host: RunningServer, path: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(host.websocket + path + "?conversation_id=c", compression=None)

    assert refused.value.response.status_code in (403, 404)  # stock uvicorn says 403


def test_behind_a_trusted_proxy_the_checks_see_the_clients_address_host_and_path(
    command: list[str], tmp_path: Path
) -> None:
    settings = {"server__root_path": "/chat", "server__trusted_proxies": "127.0.0.1"}
    forwarded = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "chat.example"}
    forwarded["X-Forwarded-Proto"] = "https"
    settings["connections__max_per_ip"] = "1"
    with running_server(tmp_path, command, **settings) as server, ExitStack() as stack:
        verdicts = []
        for root in ("/chat", ""):
            address = f"{server.websocket}{root}/ws/kai?conversation_id=c"
            device = connect(
                address, origin=Origin("https://chat.example"), additional_headers=forwarded, compression=None
            )
            verdicts.append(verdict(stack.enter_context(device)))

    assert verdicts == [OK, (1008, "too many connections of this address (1)")]


def test_a_token_by_header_subprotocol_or_query_is_checked_and_the_first_present_decides(
    command: list[str], tmp_path: Path
) -> None:
    good, bad = jwt.encode({"sub": "kai", "exp": time.time() + 60}, SECRET), "no.token.atall"
    with running_server(tmp_path, command, auth__jwt_secret=SECRET) as server:
        by_header = knock(
            server, query=f"&token={bad}", additional_headers={"Authorization": f"Bearer {good}"}
        )
        protocols = [Subprotocol("chat.v1"), Subprotocol(f"bearer.{good}")]
        by_protocol = knock(server, query=f"&token={bad}", subprotocols=protocols)
        by_query = knock(server, query=f"&token={good}")
        others = knock(server, "ben", "other", query=f"&token={good}")
        nobody = knock(server)
        with by_header, by_protocol, by_query, others, nobody:
            assert [verdict(it)[0] for it in (by_header, by_protocol, by_query)] == [0, 0, 0]
            assert by_protocol.subprotocol == "chat.v1"
            assert [verdict(it)[0] for it in (others, nobody)] == [1008, 1008]


def test_a_replaced_device_is_closed_4500_with_a_reason(host: RunningServer, connect_device: Connect) -> None:
    old = connect_device(host, "phone", conversation="replaced")
    new = connect_device(host, "phone", conversation="replaced")

    code, reason = old.wait_for_close()

    assert (code, bool(reason)) == (4500, True)
    assert new.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "on"})["type"] == "ACK"


def test_too_many_invalid_frames_close_the_connection_behind_the_last_error(
    host: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(host, "phone", conversation="invalid")
    for _ in range(10):
        phone.socket.send("no json")

    assert [phone.receive_until("ERROR")["error"]["code"] for _ in range(10)] == ["invalid_json"] * 10
    assert phone.wait_for_close()[0] == 1007


def test_a_device_that_closes_leaves_the_others_a_count_that_is_right(
    host: RunningServer, connect_device: Connect
) -> None:
    phone, tablet = (connect_device(host, name, conversation="leaving") for name in ("phone", "tablet"))
    assert tablet.welcome["data"]["devices"] == 2

    phone.socket.close(1000)

    deadline = time.monotonic() + 10
    while connect_device(host, "watch", conversation="leaving").welcome["data"]["devices"] != 2:
        assert time.monotonic() < deadline, "the device that left is still counted"


def test_what_was_missed_is_replayed_in_order_before_what_is_new(
    host: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(host, "phone", conversation="replay")
    say_many(phone, range(300), "x" * 500)
    epoch = phone.welcome["data"]["epoch"]

    tablet = connect_device(host, "tablet", conversation="replay", last_seq=10, epoch=epoch)
    phone.say("new", "new")

    seqs = [tablet.receive_until("CHAT_MESSAGE")["seq"] for _ in range(291)]
    assert seqs == list(range(11, 302))


def say_many(device: Device, numbers: range, text: str) -> None:
    """Returns when all are acknowledged."""
    for number in numbers:
        device.say(f"m{number}", text)
    for _ in numbers:
        device.receive_until("ACK")


def test_a_device_that_does_not_read_is_closed_4002_and_delays_nobody(
    host: RunningServer, connect_device: Connect
) -> None:
    phone = connect_device(host, "phone", conversation="slow")
    with socket.socket() as sleeper:
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleeper.connect(("127.0.0.1", host.port))
        sleeper.sendall(upgrade_request("/ws/kai?conversation_id=slow&client_id=sleeper"))
        phone.receive_until("SYSTEM")  # the sleeper has come

        batches = 0
        while _closed(host, 4002) == 0:
            say_many(phone, range(batches * 16, batches * 16 + 16), "x" * 4000)
            batches += 1
            assert batches < 400, "it would have to hold 25 MB by now"


def _closed(host: RunningServer, code: int) -> int:
    found: int = host.get("/stats").json()["connections"]["closed"].get(str(code), 0)
    return found


def test_a_device_that_vanishes_with_its_messages_under_way_has_them_saved(
    host: RunningServer, connect_device: Connect
) -> None:
    device = socket.create_connection(("127.0.0.1", host.port))
    device.sendall(upgrade_request("/ws/kai?conversation_id=vanish&client_id=phone"))
    welcome = b""
    while b"connected" not in welcome:
        welcome += device.recv(65536)
    said = [{"type": "CHAT_MESSAGE", "message_id": f"m{n}", "data": "last words"} for n in range(20)]
    frames = b"".join(client_frame(TEXT, json.dumps(frame).encode()) for frame in said)
    device.sendall(frames + client_frame(CLOSE))
    device.close()

    tablet = connect_device(host, "tablet", conversation="vanish", last_seq=0)

    assert [tablet.receive_until("CHAT_MESSAGE")["seq"] for _ in range(20)] == list(range(1, 21))


def test_a_shutdown_closes_every_device_for_a_return_and_keeps_what_was_acked(
    command: list[str], tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, command) as server:
        phone = connect_device(server, "phone")
        assert phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "kept"})["seq"] == 1
        server.process.terminate()
        code, _ = phone.wait_for_close()
        server.process.wait(20)
        server.kill()

    assert code in (1001, 1012)  # stock uvicorn closes with its own code, before the application hears of it
    with running_server(tmp_path, command) as server:
        assert _seqs(connect_device(server, "phone", last_seq=0)) == [1]


def _seqs(device: Device) -> list[int]:
    return [device.receive_until("CHAT_MESSAGE")["seq"] for _ in range(device.welcome["data"]["recovered"])]
