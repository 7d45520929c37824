"""SQLite connections whose statements a test sees and may spoil."""

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Run = Callable[[], sqlite3.Cursor]
BROKEN = sqlite3.OperationalError("disk I/O error")


class Tap:
    """`connection` is for SqliteStore. Every statement goes through `on_execute`, which may run it or not."""

    def __init__(self) -> None:
        self.on_execute: Callable[[str, Run], sqlite3.Cursor] = lambda sql, run: run()
        self.statements: list[str] = []
        self.connections: list[sqlite3.Connection] = []
        tap = self

        class TappedCursor(sqlite3.Cursor):
            def execute(self, sql: str, values: Any = (), /) -> Any:
                tap.statements.append(sql)
                return tap.on_execute(sql, lambda: super(TappedCursor, self).execute(sql, values))

        class TappedConnection(sqlite3.Connection):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                tap.connections.append(self)

            def cursor(self, factory: Any = TappedCursor) -> Any:
                return super().cursor(factory)

            def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
                tap.statements.append(sql)
                return tap.on_execute(sql, lambda: super(TappedConnection, self).execute(sql, *values))

        self.connection: type[sqlite3.Connection] = TappedConnection

    def on_each_connection(self, do: Callable[[sqlite3.Connection], object]) -> None:
        """On those that are open."""
        for connection in self.connections:
            with suppress(sqlite3.ProgrammingError):
                do(connection)

    def spoil(self, statement: str, times: int = 1, is_run: bool = False) -> None:
        """The next statements that begin so fail; `is_run`: though they were done."""
        left = times

        def execute(sql: str, run: Run) -> sqlite3.Cursor:
            nonlocal left
            if not (sql.startswith(statement) and left):
                return run()
            left -= 1
            if is_run:
                run()
            raise BROKEN

        self.on_execute = execute
