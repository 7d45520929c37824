"""Whether there is a browser for the page's tests."""

import shutil
import subprocess
from importlib.util import find_spec

import pytest

MISSING = [
    how
    for is_there, how in [
        (find_spec("playwright"), "pip install -r requirements-dev.txt"),
        (shutil.which("chromium"), "apt-get install chromium"),
    ]
    if not is_there
]


@pytest.mark.skipif(bool(MISSING), reason=f"no browser for the chat page's tests: {' && '.join(MISSING)}")
def test_there_is_a_browser() -> None:
    assert "Chromium" in subprocess.check_output(["chromium", "--version"], text=True)
