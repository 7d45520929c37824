"""The example in docs/python-client.md, run as a reader would run it."""

import re
import subprocess
import sys
from pathlib import Path

from tests.support.server import RunningServer

PAGE = Path(__file__).parents[2] / "docs" / "python-client.md"


def test_the_example_works(server: RunningServer) -> None:
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    program = found[1].replace("http://127.0.0.1:8000", server.url)

    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )

    assert (result.stdout, result.stderr) == ("saved as 1\nuser123 Hi!\n", "")
