"""The AI service of docs/backend.md is complete: it answers as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.device import Connect
from tests.support.server import running_server

PAGE = Path(__file__).parents[2] / "docs" / "backend.md"


def test_the_service_on_the_page_answers_in_40_lines(tmp_path: Path, connect_device: Connect) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    code = found[1]
    assert sum(1 for line in code.splitlines() if line.strip()) <= 40
    service = tmp_path / "service.py"
    service.write_text(code, encoding="utf-8")
    with running_server(tmp_path, ai__typing_delay="[0.05, 0.1]") as server:
        phone = connect_device(server, "phone")
        process = subprocess.Popen([sys.executable, str(service), server.url])
        try:
            phone.ask({"type": "CHAT_MESSAGE", "message_id": "m1", "data": "Hello."})
            assert phone.receive_until("READ_RECEIPT")["data"]["seq"] == 1
            assert phone.receive_until("TYPING_INDICATOR")["data"]["is_typing"] is True
            answer = phone.receive_until("AI_RESPONSE")
            assert answer["data"] == "You said: Hello. Tell me more!"
            phone.ask({"type": "CHAT_MESSAGE", "message_id": "m2", "data": "More."})
            assert phone.receive_until("AI_RESPONSE")["data"] == "You said: More. Tell me more!"
        finally:
            process.kill()
            process.wait()
