"""server/core decides and does nothing else: ruff's ban is tried on planted imports."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def faults_of(code: str, path: str) -> str:
    """Return what ruff says of the code if it stood there."""
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--stdin-filename", path, "-"]
    ran = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    return ran.stdout


@pytest.mark.parametrize(
    "module", ["asyncio", "time", "random", "uuid", "secrets", "socket", "threading", "os"]
)
def test_an_import_that_could_do_more_than_decide_is_refused_in_core_and_nowhere_else(module: str) -> None:
    code = f"import {module}\n\n{module}.x()\n"
    assert "TID251" in faults_of(code, "server/core/planted.py")
    assert "TID251" in faults_of(code, "server/core/stream_formats/planted.py")
    assert "TID251" not in faults_of(code, "server/runtime/planted.py")
