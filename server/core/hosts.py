"""Tells hosts of this machine from others."""

from ipaddress import IPv6Address, ip_address


def is_loopback(host: str) -> bool:
    """Tell whether the name or address is this machine's own, which no other can reach."""
    name = host.lower().strip("[]")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
