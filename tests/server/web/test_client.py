"""The JavaScript client's own tests, its types and its declarations, by Node."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "server/web/chat-client.js"
DECLARATIONS = CLIENT.with_suffix(".d.ts")

if shutil.which("node") is None or not (ROOT / "node_modules/ws").exists():
    pytest.skip("no Node or its packages: install Node 20, then `npm ci`", allow_module_level=True)


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_client_and_page_do_what_their_own_tests_say() -> None:
    run("node", "--test", "tests/server/web/")


def test_the_types_of_client_and_page_hold() -> None:
    run("node_modules/.bin/tsc", "-p", "tsconfig.json")


def test_the_declarations_are_those_of_the_client(tmp_path: Path) -> None:
    run("node_modules/.bin/tsc", "-p", "tsconfig.declare.json", "--outDir", str(tmp_path))
    assert next(tmp_path.rglob("chat-client.d.ts")).read_text() == DECLARATIONS.read_text()
