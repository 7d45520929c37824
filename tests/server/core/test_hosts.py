import pytest

from server.core.hosts import is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "model.localhost",
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "[::1]",
        "::ffff:127.0.0.1",
    ],
)
def test_this_machine_is_told_by_name_and_by_address(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example", "::ffff:10.0.0.1"])
def test_another_machine_is_not_this_one(host: str) -> None:
    assert not is_loopback(host)
