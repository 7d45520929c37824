"""What an open database needs beside its messages: marks, checkpoints, and the end of deletions."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import apsw
import structlog

from server.ports import StoreUnavailable
from server.store.file_lock import FileLock
from server.store.read_gate import ReadGate
from server.store.restoring import begin_start, is_restored, mark_of
from server.store.sqlite_connection import WriteConnection
from server.store.sqlite_file import SqliteFile
from server.store.sqlite_heads import Heads
from server.store.sqlite_removal import SqliteRemoval
from server.store.worker import Worker

log = structlog.get_logger()

_BEAT: Final = 1.0  # seconds; by so much may a backup that is restored after a crash be missed
# Under load a page of a conversation's index is written again by nearly every commit; the larger the
# log, the more of these a checkpoint copies back as one, and the fewer commits wait for one. But a commit
# that makes the log's file longer takes twice as long as one that writes over what is there. So: as much as
# a second brings, and at most so many pages, 64 MiB.
_MOST_PAGES: Final = 32_000
_WORTH_A_CHECKPOINT: Final = 1_500  # pages: a log that never grows beyond is left alone
# A commit waits for a step of a deletion that is under way, and so does one message in six at most.
_STEP_SECONDS: Final = 0.0005
_PAUSES: Final = 5  # steps' lengths between two steps
# With fewer rows a step takes hardly less: the rest is the transaction's, and what the thread waits for.
_FEWEST_ROWS, _MOST_ROWS = 20, 1000
_LONGEST_WAIT: Final = 0.5  # seconds from the end of one deletion to the erasure, while others go on
_LAST_SECONDS: Final = 0.5  # for deletions, when the store is closed; the next start does what is left
_RETRY: Final = 0.1  # seconds, while another process reads or writes


class SqliteUpkeep:
    """Runs on the event loop, from `start` to `stop`; the work is done in the writer's thread."""

    def __init__(
        self,
        thread: Worker,
        connection: WriteConnection,
        heads: Heads,
        lock: FileLock,
        file: SqliteFile,
        gate: ReadGate,
        interrupt_reads: Callable[[], object],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = thread
        self._connection = connection
        self._removal = SqliteRemoval(connection, heads, file)
        self._lock = lock
        self._file = file
        self._gate = gate
        self._interrupt_reads = interrupt_reads
        self._timer: asyncio.TimerHandle | None = None
        self._deletion: asyncio.Task[None] | None = None
        self._rows = _FEWEST_ROWS
        self._due_at = _MOST_PAGES  # in the log: then it is copied back at once

    def start(self) -> None:
        """Also goes on with what the last process had begun to delete."""
        self._connection.on_logged = self._logged
        self._beat()
        self.go_on_deleting()

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._deletion is not None:
            self._deletion.cancel()
            await asyncio.wait([self._deletion])
        await self._thread.submit(self._end)

    @property
    def is_at_rest(self) -> bool:
        """Whether all that was deleted is removed and erased."""
        return self._deletion is None or self._deletion.done()

    def go_on_deleting(self) -> None:
        """Remove what belongs to deleted conversations, in the background; then erase it from the files."""
        if self.is_at_rest:
            self._deletion = self._loop.create_task(self._delete(), name="delete-rows")

    def write_mark(self) -> None:
        """Do so in the writer's thread. Fails where the database does; then the next one tells it all."""
        with suppress(apsw.Error, OSError):
            mark = mark_of(self._connection.db)
            if mark != self._lock.mark:
                self._lock.write_mark(mark)

    def _end(self) -> None:
        """Nobody waits for messages any more: deletions end now, unless they are long."""
        end = time.monotonic() + _LAST_SECONDS
        with suppress(StoreUnavailable):
            while time.monotonic() < end and self._removal.remove_some(_MOST_ROWS) is not None:
                pass
        self._try_to_erase()
        self.write_mark()

    def _beat(self) -> None:
        self._timer = self._loop.call_later(_BEAT, self._beat)
        if not self._thread.pending:  # else it is behind, or stuck
            self._thread.submit(self._look_after)

    def _look_after(self) -> None:
        self._file.watch()
        if self._file.is_in_place:
            self.write_mark()
            if self._connection.logged >= _WORTH_A_CHECKPOINT:
                self._checkpoint()

    def _logged(self) -> None:
        """Called in the thread by every commit: whatever writes makes the log longer."""
        if self._connection.logged >= self._due_at:
            self._due_at += _MOST_PAGES
            self._loop.call_soon_threadsafe(self._thread.submit, self._checkpoint)

    def _checkpoint(self) -> None:
        self._removal.checkpoint()
        self._due_at = self._connection.logged + _MOST_PAGES  # a reader may have kept it from all

    async def _delete(self) -> None:
        """In steps: each is a small commit of its own, and messages go in between."""
        ended: float | None = self._loop.time()  # as the last process may have left it
        while (is_whole := await self._remove_some()) is not None:
            if is_whole and ended is None:
                ended = self._loop.time()
            if ended is not None and self._loop.time() - ended > _LONGEST_WAIT:
                await self._erase()
                ended = None
        if ended is not None:
            await self._erase()

    async def _remove_some(self) -> bool | None:
        """See SqliteRemoval.remove_some. Then rests, and measures how many rows a step may have."""
        try:
            is_whole, seconds = await self._thread.submit(self._timed_step)
        except StoreUnavailable:
            await asyncio.sleep(_BEAT)
            return False
        if is_whole is not None:
            fitting = round(self._rows * min(2, _STEP_SECONDS / seconds))
            self._rows = max(_FEWEST_ROWS, min(_MOST_ROWS, fitting))
            await asyncio.sleep(seconds * _PAUSES)
        return is_whole

    def _timed_step(self) -> tuple[bool | None, float]:
        started = time.perf_counter()
        is_whole = self._removal.remove_some(self._rows)
        return is_whole, time.perf_counter() - started

    async def _erase(self) -> None:
        """Empty the log: what was deleted stands in its earlier frames until something overwrites them."""
        told = False
        while not await self._thread.submit(self._try_to_erase):
            await asyncio.sleep(_RETRY)
            if not told:
                told = True
                log.warning("what was deleted stays in the log while another process reads the database")

    def _try_to_erase(self) -> bool:
        with self._gate.closed(self._interrupt_reads):
            return self._removal.empty_log()


def begin(db: apsw.Connection, lock: FileLock) -> int:
    """Begin a start's own part of the log; a restored database begins new epochs: of how many conversations.

    Raises apsw.Error, OSError.
    """
    restored = is_restored(mark_of(db), lock.mark, lock.promised)
    token = secrets.token_hex(8)
    lock.promise(token)
    count = begin_start(db, token, restored)
    lock.keep_promise(mark_of(db))
    return count
