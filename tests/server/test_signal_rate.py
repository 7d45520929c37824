from pathlib import Path

from tests.support.device import Connect
from tests.support.server import running_server


def test_signals_over_their_rate_are_nacked_or_dropped_and_messages_are_not_touched(
    tmp_path: Path, connect_device: Connect
) -> None:
    with running_server(tmp_path, rate_limit__signals=3, rate_limit__window=60) as server:
        phone, tablet = connect_device(server, "phone"), connect_device(server, "tablet")
        for device in (phone, tablet, phone):
            assert device.ask({"type": "PING"})["type"] == "PONG"
        nack = tablet.ask({"type": "PING", "message_id": "p"})
        assert (nack["type"], nack["error"]["code"]) == ("NACK", "rate_limited")
        assert 0 < nack["error"]["retry_after"] <= 60
        phone.send({"type": "PING"})
        phone.send({"type": "PONG", "message_id": "q"})
        assert phone.ask({"type": "CHAT_MESSAGE", "message_id": "m", "data": "text"})["type"] == "ACK"
