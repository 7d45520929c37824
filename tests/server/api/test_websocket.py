"""Who is let in, against a real server."""

from contextlib import ExitStack
from pathlib import Path

from server.runtime.rooms.admission import RESERVE
from tests.support.device import Connect
from tests.support.knock import OK, knock, silent_knock, verdict, wait_until
from tests.support.server import RunningServer, running_server


def connections(server: RunningServer) -> dict[str, object]:
    found: dict[str, object] = server.get("/stats").json()["connections"]
    return found


def test_a_users_connections_are_limited_and_a_place_that_is_left_is_free_again(tmp_path: Path) -> None:
    with running_server(tmp_path, connections__max_per_user=2) as server, ExitStack() as stack:
        first, _ = (stack.enter_context(knock(server)) for _ in range(2))
        assert verdict(stack.enter_context(knock(server, conversation="d"))) == (
            1008,
            "too many connections of this user (2)",
        )
        assert verdict(stack.enter_context(knock(server, user="ben", conversation="e"))) == OK
        assert connections(server)["rejected"] == {"max_per_user": 1}
        first.close()
        wait_until(lambda: connections(server)["current"] == 2)
        assert verdict(stack.enter_context(knock(server))) == OK


def test_a_device_that_comes_back_takes_its_own_place_though_all_are_taken(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(
        tmp_path, connections__max_per_user=1, connections__max_per_ip=1, connections__max_total=1
    ) as server:
        old = connect_device(server, "phone")
        new = connect_device(server, "phone")
        assert old.wait_for_close()[0] == 4500
        assert new.ask({"type": "CHAT_MESSAGE", "message_id": "m", "data": "here"})["type"] == "ACK"


def test_a_full_server_says_1013_and_far_above_that_answers_503(tmp_path: Path) -> None:
    with running_server(tmp_path, connections__max_total=1) as server, ExitStack() as stack:
        stack.enter_context(knock(server))
        with knock(server, user="ben") as refused:
            assert verdict(refused) == (1013, "the server is full")
        statuses = []
        for _ in range(RESERVE + 1):
            peer, status = silent_knock(server, "ben")
            stack.enter_context(peer)
            statuses.append(status)
        assert (statuses[0], statuses[-1]) == (101, 503)


def test_whoever_holds_refused_sockets_open_keeps_no_other_address_out(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, connections__max_total=2, connections__max_per_ip=1) as server,
        ExitStack() as stack,
    ):
        for _ in range(RESERVE + 2):
            peer, status = silent_knock(server, "no%20identifier")
            stack.enter_context(peer)
            assert status == 101
        neighbour = stack.enter_context(knock(server, source_address=("127.0.0.2", 0)))
        assert verdict(neighbour) == OK


def test_an_address_is_limited_and_counts_to_zero_again_when_they_end(tmp_path: Path) -> None:
    with running_server(tmp_path, connections__max_per_ip=1) as server:
        for number in range(20):
            with knock(server, user=f"user{number}", conversation=f"c{number}") as socket:
                assert verdict(socket) == OK
                with knock(server, user="ben") as second:
                    assert verdict(second) == (1008, "too many connections of this address (1)")
            wait_until(lambda: connections(server)["current"] == 0)
        assert connections(server)["rejected"] == {"max_per_ip": 20}


def test_a_forwarded_address_is_believed_from_a_trusted_proxy_only(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-For": "6.6.6.6, 203.0.113.7"}
    (tmp_path / "a").mkdir()
    with running_server(tmp_path / "a") as server, knock(server, additional_headers=forwarded) as socket:
        assert verdict(socket) == OK
        assert server.get("/stats/connections").json()["items"][0]["ip"] == "127.0.0.1"
    with (
        running_server(tmp_path, server__trusted_proxies="127.0.0.0/8", connections__max_per_ip=1) as server,
        knock(server, additional_headers=forwarded) as socket,
        knock(server) as direct,
    ):
        assert verdict(socket) == verdict(direct) == OK
        rows = server.get("/stats/connections").json()["items"]
        assert {row["ip"] for row in rows} == {"203.0.113.7", "127.0.0.1"}


def test_behind_a_trusted_proxy_a_whole_ipv6_network_of_64_bits_is_one_address(tmp_path: Path) -> None:
    with (
        running_server(tmp_path, server__trusted_proxies="127.0.0.1", connections__max_per_ip=1) as server,
        ExitStack() as stack,
    ):
        found: list[int] = []
        for address in (
            "2001:db8:1:2::9",
            "2001:db8:1:2:3::4",
            "2001:db8:1:3::9",
            "::ffff:9.9.9.9",
            "9.9.9.9",
        ):
            forwarded = {"X-Forwarded-For": f"6.6.6.6, {address}"}
            user = f"user{len(found)}"
            device = knock(server, user, f"{user}s", additional_headers=forwarded)
            found.append(verdict(stack.enter_context(device))[0])
        assert found == [0, 1008, 0, 0, 1008]


def test_pages_of_foreign_origins_are_refused(server: RunningServer) -> None:
    with knock(server, origin="https://evil.example") as socket:
        code, reason = verdict(socket)
    assert code == 1008
    assert "origin" in reason
    with knock(server, origin=server.url) as socket:
        assert verdict(socket) == OK


def test_listed_origins_are_let_in(tmp_path: Path) -> None:
    with running_server(tmp_path, server__allowed_origins="https://app.example") as server:
        with knock(server, origin="https://app.example") as socket:
            assert verdict(socket) == OK
        with knock(server, origin="https://evil.example") as socket:
            assert verdict(socket)[0] == 1008


def test_the_welcome_tells_the_limits_that_are_set(tmp_path: Path, connect_device: Connect) -> None:
    limits = {
        "heartbeat__interval": 7,
        "heartbeat__timeout": 9,
        "limits__max_text_length": 5,
        "limits__max_frame_bytes": 700,
        "rate_limit__messages": 3,
        "rate_limit__window": 60,
    }
    with running_server(tmp_path, **limits) as server:
        device = connect_device(server, "phone")
        told = device.welcome["data"]
        assert (told["heartbeat_interval"], told["heartbeat_timeout"]) == (7.0, 9.0)
        assert told["ack_timeout"] == 10.0
        assert (told["max_text_length"], told["max_frame_bytes"]) == (5, 700)
        assert told["rate_limit"] == {"messages": 3, "window": 60.0}
        answers = [
            device.ask({"type": "CHAT_MESSAGE", "message_id": f"m{n}", "data": "x" * n}) for n in (5, 6)
        ]
        assert [answer["type"] for answer in answers] == ["ACK", "NACK"]
        assert answers[1]["error"]["code"] == "message_too_long"


def test_operators_are_told_why_each_connection_ended(server: RunningServer) -> None:
    with knock(server, conversation="left") as polite:
        assert verdict(polite) == OK
    vanishing, _ = silent_knock(server)
    vanishing.close()
    with knock(server, conversation="shouted") as loud:
        assert verdict(loud) == OK
        loud.send("x" * 100_000)
        wait_until(lambda: len(ended(server)) == 3)
    assert ended(server) == {
        1000: "the client closed it",
        1006: "the connection broke",
        1009: "messages may have 65536 bytes at most",
    }


def ended(server: RunningServer) -> dict[int, str]:
    events = server.get("/stats/events").json()["items"]
    return {event["code"]: event["reason"] for event in events if event["event"] == "disconnect"}
