"""Tasks that nobody awaits."""

import asyncio

from structlog.testing import capture_logs

from server.runtime.base.background import Background
from tests.support.asynchronous import asynchronous


@asynchronous
async def test_stopping_cancels_what_runs_and_waits_for_its_end() -> None:
    background, ended = Background(), list[str]()

    async def work(name: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # tidying up may take a while
            ended.append(name)

    tasks = [background.run(work(name), name) for name in ("heartbeat", "replay")]
    await asyncio.sleep(0)
    await background.stop()
    assert sorted(ended) == ["heartbeat", "replay"]
    assert all(task.cancelled() for task in tasks)


@asynchronous
async def test_a_task_that_fails_is_logged_with_its_stack_and_the_others_go_on() -> None:
    background, gate = Background(), asyncio.Event()

    async def fail() -> None:
        raise ValueError("broken")

    async def wait() -> str:
        await gate.wait()
        return "done"

    with capture_logs() as logs:
        background.run(fail(), "failing")
        other = background.run(wait(), "other")
        await asyncio.sleep(0)
        gate.set()
        assert await other == "done"
    assert [(line["task"], str(line["exc_info"])) for line in logs] == [("failing", "broken")]
