"""SQLite connections whose statements a test sees and may spoil."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import apsw

Run = Callable[[], apsw.Cursor]
BROKEN = apsw.IOError("disk I/O error")


class Tap:
    """`connection` is for SqliteStore. Every statement goes through `on_execute`, which may run it or not."""

    def __init__(self) -> None:
        self.on_execute: Callable[[str, Run], apsw.Cursor] = lambda sql, run: run()
        self.statements: list[str] = []
        self.connections: list[apsw.Connection] = []
        tap = self

        class TappedCursor(apsw.Cursor):
            def execute(self, sql: str, values: Any = None) -> apsw.Cursor:  # type: ignore[override]
                tap.statements.append(sql)
                return tap.on_execute(sql, lambda: super(TappedCursor, self).execute(sql, values))

        class TappedConnection(apsw.Connection):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.cursor_factory = TappedCursor  # of its own `execute` too
                tap.connections.append(self)

        self.connection: type[apsw.Connection] = TappedConnection

    def on_each_connection(self, do: Callable[[apsw.Connection], object]) -> None:
        """On those that are open."""
        for connection in self.connections:
            with suppress(apsw.ConnectionClosedError):
                do(connection)

    def spoil(self, statement: str, times: int = 1, is_run: bool = False) -> None:
        """The next statements that begin so fail; `is_run`: though they were done."""
        left = times

        def execute(sql: str, run: Run) -> apsw.Cursor:
            nonlocal left
            if not (sql.startswith(statement) and left):
                return run()
            left -= 1
            if is_run:
                run()
            raise BROKEN

        self.on_execute = execute
