"""After a known traffic every number is right: /stats, its lists and /metrics."""

import time
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.device import CONVERSATION, Connect, Device
from tests.support.server import RunningServer, running_server


def counted(device: Device, until: str) -> list[str]:
    """The types of all frames up to the PONG of that PING."""
    device.send({"type": "PING", "message_id": until})
    types = []
    while True:
        frame = device.receive()
        types.append(frame["type"])
        if frame["type"] == "PONG":
            return types


def stats_when(server: RunningServer, closed: int) -> dict[str, Any]:
    """GET /stats once so many connections have ended."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        stats: dict[str, Any] = server.get("/stats").json()
        if sum(stats["connections"]["closed"].values()) == closed:
            return stats
    raise AssertionError(stats)


def test_every_number_is_right_after_a_known_traffic(tmp_path: Path, connect_device: Connect) -> None:
    with running_server(tmp_path, rate_limit__messages=4) as server:
        phone = connect_device(server, "phone")
        tablet = connect_device(server, "tablet")
        chat = {"type": "CHAT_MESSAGE", "data": "text"}
        answers = [phone.ask({**chat, "message_id": f"m{n}"}) for n in range(4)]
        answers.append(phone.ask({**chat, "message_id": "m0"}))  # a resend: ACK, duplicate
        answers.append(phone.ask({**chat, "message_id": "m9"}))  # over the rate: NACK
        answers.append(phone.ask({**chat, "message_id": "m10", "data": " "}))  # empty: NACK
        answers.append(phone.ask({"no": "type"}))  # ERROR
        assert [a["type"] for a in answers] == ["ACK"] * 5 + ["NACK"] * 2 + ["ERROR"]
        server.post("/api/send-ai-message", {"conversation_id": CONVERSATION, "message": "Hi"})
        counted(phone, "p1")
        counted(tablet, "p2")
        tablet.socket.close(1000)
        stats = stats_when(server, closed=1)
        connections, messages = stats["connections"], stats["messages"]
        assert (connections["current"], connections["peak"], connections["total"]) == (1, 2, 2)
        assert (connections["users"], connections["conversations"]) == (1, 1)
        assert connections["closed"] == {"1000": 1}
        assert messages["received"] == 8 + 1 + 1
        assert (messages["acked"], messages["duplicates"], messages["ai_responses"]) == (5, 1, 1)
        assert messages["nacked"] == {"rate_limited": 1, "empty_message": 1}
        assert stats["errors"] == {"total": 3, "last_minute": 3}
        assert stats["store"]["backend"] == "sqlite"
        assert stats["store"]["pending"] == 0
        batch = stats["store"]["batch_size"]
        assert 1 <= batch["mean"] <= batch["max"] <= 5
        assert 0 < connections["duration_seconds"]["max"] < 30
        for latency in stats["latency_ms"].values():
            assert 0 < latency["p50"] <= latency["p99"] <= latency["max"] < 10_000
        seen = _seen(server)
        assert messages["sent"] == seen["sent"] + 1 + 4 + 1 + 1  # the tablet's: welcome, messages, AI, PONG
        _check_lists(server, phone)
        _check_metrics(server, stats)
        _check_that_windows_move_on(server)


def _seen(server: RunningServer) -> dict[str, Any]:
    row: dict[str, Any] = server.get("/stats/connections").json()["items"][0]
    return row


def _check_lists(server: RunningServer, phone: Device) -> None:
    connection = _seen(server)
    assert connection["connection_id"] == phone.welcome["data"]["connection_id"]
    welcome = phone.welcome["data"]
    named = ("user_id", "client_id", "session_id")
    assert [connection[name] for name in named] == [welcome[name] for name in named]
    assert (connection["conversation_id"], connection["ip"]) == (CONVERSATION, "127.0.0.1")
    assert connection["connected_at"] < connection["last_heartbeat"]
    assert connection["reconnects"] == 0
    # welcome, two counts of devices, 4 messages and the AI's, 8 answers, PONG
    assert connection["sent"] == 1 + 2 + 4 + 1 + 8 + 1
    assert (connection["received"], connection["queued"]) == (9, 0)
    room = server.get("/stats/conversations").json()["items"][0]
    assert (room["conversation_id"], room["user_id"], room["devices"]) == (CONVERSATION, "kai", 1)
    assert (room["messages"], room["last_seq"]) == (5, 5)
    events = [event["event"] for event in server.get("/stats/events").json()["items"]]
    assert events == ["disconnect", "connect", "connect"]
    errors = server.get("/stats/errors?limit=2").json()
    assert errors["has_more"] is True
    assert [error["code"] for error in errors["items"]] == ["invalid_frame", "empty_message"]


def _check_that_windows_move_on(server: RunningServer) -> None:
    """What is measured each second, or ten times a second."""
    deadline = time.monotonic() + 10
    while (stats := server.get("/stats").json())["messages"]["rate_per_second"] == 0:
        assert time.monotonic() < deadline
    assert stats["messages"]["rate_per_second"] <= 0.5  # five messages, over ten seconds
    assert stats["process"]["event_loop_lag_ms"] > 0
    assert stats["process"]["rss_bytes"] > 10_000_000


def _check_metrics(server: RunningServer, stats: dict[str, Any]) -> None:
    response = server.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }
    assert samples[("chat_connections",)] == 1
    assert samples[("chat_acks_total",)] == stats["messages"]["acked"]
    assert samples[("chat_nacks_total", "rate_limited")] == 1
    assert samples[("chat_connections_closed_total", "1000")] == 1
    assert samples[("chat_frames_received_total",)] == stats["messages"]["received"]
    assert ("chat_ack_latency_ms", "0.99") in samples
    assert not any("kai" in part for name in samples for part in name)
