"""The address that is listened on, by one process or by several."""

import socket


def bind(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """Make a socket at that address; `shared`: other processes bind it too and get their part of the devices.

    Raises OSError.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def reserve(host: str, port: int) -> socket.socket:
    """Keep an address for processes that share it; nothing is listened on until one of them does.

    The system lets any two that share a port have it, so also another server's: that nobody listens is
    found out first, by a socket that shares with nobody. Raises OSError.
    """
    with bind(host, port) as alone:
        alone.listen(1)
        port = alone.getsockname()[1]
    return bind(host, port, shared=True)
