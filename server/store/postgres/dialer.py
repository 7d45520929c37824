"""Opens connections to PostgreSQL, each with its deadlines and only to the database that the store knows."""

from typing import Final

import asyncpg

from server.ports import StoreUnavailable
from server.store.postgres.faults import ANY
from server.store.postgres.link import Backend, Connection, Session, message_of
from server.store.postgres.origin import Origin

OLDEST: Final = 14  # the first version whose pg_terminate_backend waits for the end
_CONNECT_SECONDS: Final = 5.0
_GRACE_SECONDS: Final = 1.0  # by so much longer than the server's deadline is ours
_NAME: Final = {"application_name": "chatctl"}
_WHO: Final = """
SELECT pg_backend_pid() AS pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()"""


class Dialer:
    """Knows how the store's connections are made.

    `timeout`: seconds that the server gives a statement. `is_durable`: a commit is answered once it is on the
    server's disk.
    """

    def __init__(self, url: str, timeout: float, is_durable: bool, origin: Origin) -> None:
        self._url = url
        self._is_durable = is_durable
        self._timeout = timeout
        self._origin = origin

    async def dial(self) -> Session:
        """Opens a connection for reading and small writes. Raises StoreUnavailable."""
        return await self._dial(self._deadlines())

    async def dial_for_commits(self) -> Session:
        """Opens one for commits: its plans lock conversations in the order of their keys.

        Without sequential and bitmap scans each plan for `sql.SAVE` goes by the sorted keys, or by the index.
        """
        plans = {
            "enable_seqscan": "off",
            "enable_bitmapscan": "off",
            "plan_cache_mode": "force_generic_plan",
        }
        durability = {} if self._is_durable else {"synchronous_commit": "off"}
        return await self._dial(self._deadlines() | plans | durability)

    async def _dial(self, settings: dict[str, str]) -> Session:
        connection = await connect(self._url, settings, self._timeout + _GRACE_SECONDS)
        try:
            (who,) = await connection.fetch(_WHO)
            await self._origin.check(connection)
        except ANY as fault:
            connection.terminate()
            raise StoreUnavailable(message_of(fault)) from fault
        except BaseException:
            connection.terminate()
            raise
        return Session(connection, Backend(who["pid"], who["backend_start"]))

    def _deadlines(self) -> dict[str, str]:
        """What the server does by itself, for what hangs here or at another session.

        Whoever waits for a lock gives up first, and the lane goes on.
        """
        milliseconds = int(self._timeout * 1000)
        return {
            "statement_timeout": str(milliseconds),
            "lock_timeout": str(milliseconds // 2),
            "idle_in_transaction_session_timeout": str(milliseconds),
            "jit": "off",
            # A node that is gone without a word holds no backend for hours.
            "tcp_keepalives_idle": "10",
            "tcp_keepalives_interval": "5",
            "tcp_keepalives_count": "3",
        }


async def connect(
    url: str, settings: dict[str, str] | None = None, seconds: float | None = None
) -> Connection:
    """Opens a plain connection. `seconds`: until a statement counts as lost. Raises StoreUnavailable."""
    try:
        connection = await asyncpg.connect(
            url, timeout=_CONNECT_SECONDS, command_timeout=seconds, server_settings=_NAME | (settings or {})
        )
    except (*ANY, ValueError) as fault:
        raise StoreUnavailable(message_of(fault)) from fault
    version = connection.get_server_version()
    if version.major < OLDEST:
        connection.terminate()
        raise StoreUnavailable(f"PostgreSQL {version.major}: {OLDEST} or newer is needed")
    return connection
