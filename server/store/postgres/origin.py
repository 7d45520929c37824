"""Which database it is: a restored one, or one that a failover brought, begins new epochs.

Devices may have seen messages that it lacks, under seqs that it will give to others; a new epoch tells
them to read anew. All conversations change theirs at once, by a suffix that is kept in one row. It is
drawn by lot: a dump brings an older one back, and a count would come to a suffix of before.
"""

from collections.abc import Callable
from typing import Any, Final

import structlog

log = structlog.get_logger()

# The system identifier is a server's for its life, the timeline changes when a replica or a restored
# server takes over, and a database that was loaded from a dump has another oid.
_IDENTITY: Final = """
SELECT (SELECT system_identifier FROM pg_control_system())::text
    || '/' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
    || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())"""
_SEEN: Final = f"SELECT epochs, identity = ({_IDENTITY}) AS same FROM origin"
_RENEW: Final = f"""
UPDATE origin SET identity = i.identity,
    epochs = CASE origin.identity WHEN '' THEN '' ELSE left(gen_random_uuid()::text, 8) END
FROM (SELECT ({_IDENTITY}) AS identity) i WHERE origin.identity <> i.identity"""


class Origin:
    """Remembers the suffix of all epochs; `on_new_epochs` is called when it changes while the node runs."""

    def __init__(self) -> None:
        self._epochs: str | None = None
        self.on_new_epochs: Callable[[], None] = lambda: None

    def epoch(self, own: str) -> str:
        """Completes a conversation's own part of its epoch."""
        return f"{own}.{self._epochs}" if self._epochs else own

    async def check(self, connection: Any) -> None:
        """Sees on a new connection whether the database is still the same, and tells before it is used."""
        (row,) = await connection.fetch(_SEEN)
        if not row["same"]:
            await connection.execute(_RENEW)  # where another node was first, it finds nothing to do
            (row,) = await connection.fetch(_SEEN)
        before, self._epochs = self._epochs, row["epochs"]
        if before is not None and before != self._epochs:
            log.warning("another database took over: new epochs", epochs=self._epochs)
            self.on_new_epochs()
