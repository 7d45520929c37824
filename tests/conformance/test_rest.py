"""Requests of every kind, valid and not, made from /openapi.json: every answer must be as described there."""

import subprocess
import sys
from pathlib import Path

from tests.support.server import running_server

SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
# Draining is left out: it is asked for once, and every write is refused from then on.
OPTIONS = "--exclude-path /api/drain --phases examples,coverage,fuzzing --max-examples 5"


def test_every_answer_is_as_the_openapi_document_says(tmp_path: Path) -> None:
    with running_server(tmp_path, ai__typing_delay="0,0") as server:
        ran = subprocess.run(
            [
                SCHEMATHESIS,
                "run",
                f"{server.url}/openapi.json",
                "--generation-deterministic",
                *OPTIONS.split(),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert server.errors == ""
