"""The store on PostgreSQL. Needs asyncpg, of the extra `cluster`."""

from server.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
