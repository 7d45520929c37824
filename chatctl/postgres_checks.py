"""What `chatctl doctor` looks at in a PostgreSQL database."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from chatctl.databases import NO_DRIVER
from chatctl.findings import Finding, Verdict
from server.ports import StoreUnavailable
from server.settings import shown

if TYPE_CHECKING:
    from server.store.postgres.administration import Examination

_SLOW_COMMIT_MS: Final = 20.0  # an ACK waits for one; people begin to notice


def check_postgres(url: str, pool: int) -> Iterator[Finding]:
    """Yields what is found at that URL, for a node with so many connections."""
    try:
        from server.store.postgres import administration, schema
    except ImportError:
        yield Finding("database", "fail", NO_DRIVER)
        return
    try:
        found = asyncio.run(administration.examine(url))
    except StoreUnavailable as fault:
        remedy = "start it, or correct store.url"
        yield Finding("database", "fail", f"{shown('store.url', url)}: {fault}", remedy)
        return
    yield _schema(found, schema.NEWEST)
    yield _speed(found)
    for name in found.losing:
        text = f"{name} is off: a crash there loses messages that were ACKed"
        yield Finding(
            "database", "warn", text, f"ALTER SYSTEM SET {name} = on; then reload its configuration"
        )
    if found.free_connections < pool:
        text = f"{found.free_connections} connections are free there, a node takes {pool}"
        yield Finding("database", "warn", text, "raise its max_connections, or lower store.pool")


def _schema(found: "Examination", newest: int) -> Finding:
    version = found.schema_version
    server = f"PostgreSQL {found.server}"
    if version == newest:
        return Finding("database", "ok", f"{server}, schema version {version}")
    if version == 0:
        return Finding("database", "ok", f"{server}, empty: the first node sets it up")
    text = f"{server}: the schema has version {version}, this program knows {newest}"
    remedy = "chatctl db upgrade" if version < newest else "install the newer program that wrote it"
    return Finding("database", "fail", text, remedy)


def _speed(found: "Examination") -> Finding:
    is_slow = found.commit_ms > _SLOW_COMMIT_MS
    verdict: Verdict = "warn" if is_slow else "ok"
    remedy = "each ACK waits that long; move it nearer, or to a faster disk" if is_slow else ""
    return Finding("database", verdict, f"a commit there takes {found.commit_ms:.2f} ms", remedy)
