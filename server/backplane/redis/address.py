"""What a URL says of the service: redis://USER:PASSWORD@HOST:PORT/DB, rediss:// with TLS."""

import ssl
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import RedisError

from server.ports import BackplaneUnavailable


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service is, and how a connection begins. `db` parts deployments that share it."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    username: str
    password: str
    db: int

    def greeting(self) -> list[tuple[str, ...]]:
        """Return the commands that a connection begins with."""
        commands: list[tuple[str, ...]] = []
        if self.password:
            user = (self.username,) if self.username else ()
            commands.append(("AUTH", *user, self.password))
        if self.db:
            commands.append(("SELECT", str(self.db)))
        commands.append(("CLIENT", "SETNAME", "chatctl"))
        return commands


def parse_address(url: str) -> Address:
    """Read a URL with the options that redis-py knows, ssl_ca_certs say. Raises BackplaneUnavailable."""
    if url.startswith("redis+cluster://"):
        raise BackplaneUnavailable("redis+cluster:// is not built yet: name one server by redis://")
    try:
        found: Any = Redis.from_url(url).connection_pool.make_connection()  # type: ignore[no-untyped-call]
        tls = found.ssl_context.get() if isinstance(found, SSLConnection) else None
    except (RedisError, ValueError, TypeError, OSError) as fault:
        raise BackplaneUnavailable(str(fault)) from None
    return Address(found.host, int(found.port), tls, found.username or "", found.password or "", found.db)
