"""Names for connections, sessions and the server's own frames: short, and unique across processes."""

import itertools
import secrets


class IdMaker:
    """A random prefix for the process and a counter."""

    __slots__ = ("_count", "prefix")

    def __init__(self) -> None:
        self.prefix = secrets.token_hex(6)
        self._count = itertools.count(1)

    def new(self) -> str:
        """`3f09c1d2a4b7-1f`"""
        return f"{self.prefix}-{next(self._count):x}"
