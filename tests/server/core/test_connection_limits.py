from ipaddress import ip_network

import pytest

from server.core.connection_limits import (
    ConnectionLimits,
    address_group,
    client_address,
    origin_allowed,
    over_limit,
)

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "address"),
    [
        ("1.2.3.4", "", "1.2.3.4"),
        ("1.2.3.4", "9.9.9.9", "1.2.3.4"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "6.6.6.6, 9.9.9.9,10.0.0.2", "9.9.9.9"),
        ("::1", "2001:db8::1", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]:5000", "2001:db8::1"),
        ("10.0.0.1", "9.9.9.9:5000", "9.9.9.9"),
        ("10.0.0.1", "::ffff:9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", "9.9.9.9, <script>", "10.0.0.1"),
        ("", "9.9.9.9", ""),
    ],
)
def test_forwarded_addresses_are_believed_as_far_as_trusted_proxies_wrote_them(
    peer: str, forwarded_for: str, address: str
) -> None:
    assert client_address(peer, forwarded_for, TRUSTED) == address


def test_an_ipv6_network_of_64_bits_counts_as_one_address() -> None:
    assert address_group("2001:db8:1:2:3::4") == address_group("2001:db8:1:2::9")
    assert address_group("2001:db8:1:2::9") != address_group("2001:db8:1:3::9")
    assert address_group("::ffff:1.2.3.4") == address_group("1.2.3.4") != address_group("1.2.3.5")


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "is_let_in"),
    [
        (None, "chat.example", (), True),
        ("https://chat.example", "chat.example", (), True),
        ("https://Chat.Example", "chat.example:443", (), True),
        ("http://localhost:8000", "localhost:8000", (), True),
        ("http://localhost:3000", "localhost:8000", (), False),
        ("https://evil.example", "chat.example", (), False),
        ("https://chat.example.evil.example", "chat.example", (), False),
        ("null", "chat.example", (), False),
        ("https://chat.example", None, (), False),
        ("http://[::1", "chat.example", (), False),
        ("https://chat.example:99999", "chat.example", (), False),
        ("https://app.example", "chat.example", ("https://app.example",), True),
        ("http://app.example", "chat.example", ("https://app.example",), False),
        ("https://evil.example", "chat.example", ("https://app.example",), False),
    ],
)
def test_pages_of_other_origins_are_kept_out(
    origin: str | None, host: str | None, allowed: tuple[str, ...], is_let_in: bool
) -> None:
    assert origin_allowed(origin, host, allowed) is is_let_in


@pytest.mark.parametrize(
    ("total", "of_address", "of_user", "label"),
    [(8, 4, 1, None), (9, 4, 1, "server_full"), (8, 5, 1, "max_per_ip"), (8, 4, 2, "max_per_user")],
)
def test_each_limit_refuses_the_first_connection_above_it(
    total: int, of_address: int, of_user: int, label: str | None
) -> None:
    refusal = over_limit(ConnectionLimits(9, 5, 2), total, of_address, of_user)
    assert (refusal and refusal.label) == label
