"""docs/protocol.md names what the server speaks, and its example comes out as it stands there."""

import json
import re
from pathlib import Path
from typing import Any

from server.protocol import CloseCode, ErrorCode, MessageType
from tests.support.device import Connect
from tests.support.server import RunningServer

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
REST_ONLY = {
    ErrorCode.UNAUTHORIZED,
    ErrorCode.FORBIDDEN,
    ErrorCode.NOT_FOUND,
    ErrorCode.CONFLICT,
    ErrorCode.TOO_LARGE,
    ErrorCode.UPSTREAM_ERROR,
}


def first_column(section: str) -> set[str]:
    """The names in the first cells of the section's table."""
    text = PAGE.split(f"\n## {section}", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| ([^|]+?) \|", text, re.MULTILINE)
    return {name for cell in cells[2:] for name in cell.split(", ")}


def test_the_types_are_all_there() -> None:
    assert first_column("3. Types") == set(MessageType)


def test_the_error_codes_are_all_there() -> None:
    assert first_column("4. ACK and NACK") == set(ErrorCode) - REST_ONLY


def test_the_close_codes_are_all_there_under_their_names() -> None:
    rows = re.findall(r"^\| (\d{4}) \| (\w+) \|", PAGE, re.MULTILINE)
    assert {(int(code), name) for code, name in rows} == {(code, code.name) for code in CloseCode}


def test_the_example_comes_out_as_on_the_page(server: RunningServer, connect_device: Connect) -> None:
    device = connect_device(server, "phone")
    for direction, frame in example():
        if direction == ">":
            device.send(frame)
        else:
            assert device.receive() | {"timestamp": frame["timestamp"]} == frame


def example() -> list[tuple[str, dict[str, Any]]]:
    frames = re.findall(r"^    ([<>]) (\{.*?\})\n(?=    [<>]|\n)", PAGE, re.MULTILINE | re.DOTALL)
    assert len(frames) == 7
    return [(direction, json.loads(frame)) for direction, frame in frames]
