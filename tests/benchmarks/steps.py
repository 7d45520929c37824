"""What each step of a message's path costs: python -m tests.benchmarks.steps

CPU time in microseconds for one message, the best of several rounds. The steps in the loop's thread are
without sockets; the store's, in a thread of its own, is with its disk and what the system does for it.
"""

import asyncio
import tempfile
import time
import uuid
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Final

from server.core import payloads
from server.core.inbound import read_frame
from server.core.model import Draft, NewConversation
from server.core.websocket_frames import text_frame
from server.ports import Batch
from server.protocol import MessageType
from server.store.sqlite import SqliteStore
from server.transport.frame_parser import FrameParser
from tests.benchmarks.hotpath import TEXT, chat_frame
from tests.support.store import save

CONVERSATIONS, BATCH, BATCHES, ROUNDS, CALLS = 100, 100, 100, 5, 20_000
STAMP: Final = "2026-01-15T10:30:00.123Z"
HEAD: Final = 8  # of a masked frame of 126 to 65535 bytes


def cost(step: Callable[[], object]) -> float:
    """Microseconds of CPU for one call."""

    def round_of() -> float:
        started = time.process_time()
        for _ in range(CALLS):
            step()
        return (time.process_time() - started) / CALLS * 1e6

    return min(round_of() for _ in range(ROUNDS))


def a_draft(key: int) -> Draft:
    return Draft(
        key, str(uuid.uuid4()), MessageType.CHAT_MESSAGE, "user-1", TEXT, time.time_ns() // 1_000_000, 0.0
    )


async def cost_of_a_row(size: int) -> float:
    """Microseconds of the process's CPU for one message, in commits of that size."""
    with tempfile.TemporaryDirectory() as folder:
        store = SqliteStore(Path(folder) / "chat.db")
        await store.open()
        new = [NewConversation(f"c{n}", "kai", {"id": "ai"}, "e", 0, 0.0) for n in range(CONVERSATIONS)]
        keys = [created.key for created in await store.create_conversations(Batch(new))]
        drafts = (a_draft(keys[number % CONVERSATIONS]) for number in range(size * BATCHES))
        batches = [list(islice(drafts, size)) for _ in range(BATCHES)]
        started = time.process_time()
        for batch in batches:
            await save(store, *batch)
        spent = time.process_time() - started
        await store.close()
    return spent / size / BATCHES * 1e6


def main() -> None:
    frame = chat_frame(1)
    payload, draft, parser = frame[HEAD:], a_draft(1), FrameParser(65536)
    steps: dict[str, Callable[[], object]] = {
        "bytes to a message": lambda: parser.feed(frame),
        "bytes to a model, checked": lambda: read_frame(payload, "conv-1", 4000),
        "the broadcast's frame": lambda: text_frame(payloads.saved_message("conv-1", 1, draft, STAMP)),
        "the ACK's frame": lambda: text_frame(payloads.ack("conv-1", draft.message_id, 1, False, STAMP)),
    }
    for name, step in steps.items():
        print(f"{name:<28}{cost(step):6.1f} us")
    for size in (1, 10, BATCH):
        print(f"{f'a row, {size} to a commit':<28}{asyncio.run(cost_of_a_row(size)):6.1f} us")


if __name__ == "__main__":
    main()
