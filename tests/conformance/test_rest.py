"""Requests of every kind, valid and not, made from /openapi.json: every answer must be as described there."""

import subprocess
import sys
from pathlib import Path

from tests.support.server import running_server

ROOT = Path(__file__).parents[2]
COMMAND = [
    str(Path(sys.executable).parent / "schemathesis"),
    "--config-file",
    str(ROOT / "schemathesis.toml"),
]
BRIEFLY = ["--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--generation-deterministic"]


def test_every_answer_is_as_the_openapi_document_says(tmp_path: Path) -> None:
    with running_server(tmp_path, ai__typing_delay="0,0") as server:
        ran = subprocess.run(
            [*COMMAND, "run", f"{server.url}/openapi.json", *BRIEFLY],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert not [line for line in server.errors.splitlines() if not _is_expected(line)]


def _is_expected(line: str) -> bool:
    """Tell whether a line of the log is no fault: news, or that the run has paused the deliveries."""
    return '"level": "info"' in line or "deliveries to the AI service are paused" in line
