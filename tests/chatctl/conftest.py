"""Commands run in this process: what a shell would see, without a new interpreter for each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from chatctl.__main__ import main
from tests.chatctl.rest_server import RestServer, rest_server


class Result(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture
def chatctl(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> Result:
        code = main(arguments)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return run


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory without a config.toml."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestServer]:
    """A server that answers as told, and that commands find without --url."""
    with rest_server() as server:
        monkeypatch.setenv("CHATCTL_URL", server.url)
        yield server
