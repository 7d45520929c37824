"""The AI service of docs/backend.md is complete: it answers as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.device import Connect
from tests.support.server import running_server

PAGE = Path(__file__).parents[2] / "docs" / "backend.md"


def test_the_service_on_the_page_answers_in_40_lines_what_comes_while_it_types_too(
    tmp_path: Path, connect_device: Connect
) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    code = found[1]
    assert sum(1 for line in code.splitlines() if line.strip()) <= 40
    service = tmp_path / "service.py"
    service.write_text(code, encoding="utf-8")
    with running_server(tmp_path, ai__typing_delay="[0.5, 0.6]") as server:
        phone = connect_device(server, "phone")
        process = subprocess.Popen([sys.executable, str(service), server.url])
        try:
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
        finally:
            process.kill()
            process.wait()
