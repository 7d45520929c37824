"""Names the programs that tests need and that are not there: `python -m tests.support.needed`.

Their tests are skipped. In CI, where they must be there, the exit code is 1.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support import postgres_server, valkey_server

MIN_NODE = 20
_NODE_PACKAGES = Path(__file__).parents[2] / "node_modules" / "ws"


def missing() -> list[str]:
    """Return a line for each of them, which says how to get it."""
    found = {
        "no Chromium: apt-get install chromium": shutil.which("chromium"),
        f"no Node {MIN_NODE} or newer": _node_version() >= MIN_NODE,
        "no packages of the web client's tests: npm ci": _NODE_PACKAGES.exists(),
        postgres_server.ADVICE: postgres_server.find_programs(),
        valkey_server.ADVICE: valkey_server.find_program(),
    }
    return [advice for advice, is_there in found.items() if not is_there]


def _node_version() -> int:
    """Return the major version; 0 without Node."""
    if shutil.which("node") is None:
        return 0
    told = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    return int(told.strip().removeprefix("v").partition(".")[0] or 0)


if __name__ == "__main__":
    for line in missing():
        print(line)
    sys.exit(1 if missing() and os.environ.get("CI") == "true" else 0)
