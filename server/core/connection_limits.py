"""Who is let in, decided from addresses, origins and counts alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from server.core.join_request import Refusal
from server.protocol.closing import SERVER_FULL, too_many

Network = IPv4Network | IPv6Network
_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "ws": 80, "wss": 443}
# One household or rented machine is usually given a whole /64.
_IPV6_PREFIX: Final = 64


@dataclass(slots=True, frozen=True)
class ConnectionLimits:
    """Connections at the same time."""

    max_total: int
    max_per_ip: int
    max_per_user: int


def over_limit(places: ConnectionLimits, total: int, of_address: int, of_user: int) -> Refusal | None:
    """Why one more connection is too many; the counts are without it."""
    if total >= places.max_total:
        return Refusal(*SERVER_FULL, "server_full")
    if of_address >= places.max_per_ip:
        return Refusal(*too_many("address", of_address), "max_per_ip")
    if of_user >= places.max_per_user:
        return Refusal(*too_many("user", of_user), "max_per_user")
    return None


def client_address(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Return where a connection comes from.

    X-Forwarded-For is read from its end, where the nearest proxy wrote, and believed as long as it
    was a trusted one that wrote: what stands before that, anybody may have sent.
    """
    address = peer
    for hop in reversed(forwarded_for.split(",")):
        if not is_in(address, trusted) or (parsed := _parse(hop.strip())) is None:
            break
        address = str(parsed)
    return address


@lru_cache(maxsize=1024)
def address_group(address: str) -> str:
    """What counts as one address: an IPv4 address, or an IPv6 /64."""
    parsed = _parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, _IPV6_PREFIX), strict=False))
    return address if parsed is None else str(parsed)


def origin_allowed(origin: str | None, host: str | None, allowed: Sequence[str]) -> bool:
    """Whether a page of that origin may connect; programs that are no browser send none.

    `host` is the request's own: without a list, only pages of the same host may.
    """
    if origin is None:
        return True
    if allowed:
        return origin.lower() in {each.lower() for each in allowed}
    found = _host_and_port(origin)
    scheme = origin.partition("://")[0]
    return found is not None and host is not None and found == _host_and_port(f"{scheme}://{host}")


def _host_and_port(origin: str) -> tuple[str, int | None] | None:
    try:
        parts = urlsplit(origin)
        return (parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)) if parts.hostname else None
    except ValueError:
        return None


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether an address, as a proxy may write it, lies in one of them."""
    parsed = _parse(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    """Some proxies write the port behind the address; IPv4 within IPv6 is IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (parsed.ipv4_mapped or parsed) if isinstance(parsed, IPv6Address) else parsed
