import asyncio
from pathlib import Path

import pytest

from server.runtime.signals.simulated_status import SimulatedStatus
from server.store.memory import MemoryStore
from tests.support.asynchronous import asynchronous
from tests.support.device import CONVERSATION, Connect
from tests.support.server import running_server
from tests.support.stage import Stage


@asynchronous
async def test_an_ai_that_falls_silent_goes_away_then_offline_and_is_back_when_it_speaks() -> None:
    stage = Stage(MemoryStore())
    statuses = stage.node.statuses
    simulated = SimulatedStatus(statuses, away_after=(0.01, 0.02), offline_after=(0.01, 0.02))
    device = await stage.join("phone")
    simulated.active("ai_alex")
    assert statuses.of("ai_alex") == "online"
    for _ in range(1000):
        if statuses.of("ai_alex") == "offline":
            break
        await asyncio.sleep(0.005)
    await stage.background.finished()  # each is told the status at its turn, not at the change
    simulated.active("ai_alex")
    await stage.background.finished()
    stage.replies.flush()
    told = [f["data"]["status"] for f in device.socket.frames if f["type"] == "AI_STATUS"]
    assert told[:3] == ["away", "offline", "online"]  # and then it falls silent once more


@pytest.mark.parametrize(("setting", "status"), [("true", "online"), ("false", "away")])
def test_an_ai_that_speaks_is_online_where_status_is_simulated(
    tmp_path: Path, connect_device: Connect, setting: str, status: str
) -> None:
    with running_server(tmp_path, ai__simulate_status=setting) as server:
        phone = connect_device(server, "phone")
        server.post("/api/ai-status", {"ai_id": "ai_alex", "status": "away"})
        assert phone.receive_until("AI_STATUS")["data"]["status"] == "away"
        server.post("/api/send-ai-message", {"conversation_id": CONVERSATION, "message": "Hi"})
        assert phone.receive_until("AI_RESPONSE")["data"] == "Hi"
        assert connect_device(server, "tablet").welcome["data"]["ai"]["status"] == status
