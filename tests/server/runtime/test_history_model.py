"""Whatever devices do, and wherever the process restarts: the history is what each of them saw.

On the real SQLite store; the sockets are the test's.
"""

import asyncio
import itertools
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from server.core.model import StoredMessage
from server.store.sqlite import SqliteStore
from tests.support.stage import Stage, StageDevice, turns

MAX_REPLAY = 6  # small, so that gaps occur
device_names = st.sampled_from(["phone", "tablet", "laptop"])


class Client:
    """What a correct client keeps of its conversation over all its connections."""

    def __init__(self) -> None:
        self.device: StageDevice | None = None
        self.read = 0  # frames of the present connection
        self.sent: list[str] = []  # on the present connection
        self.session_id: str | None = None
        self.epoch: str | None = None
        self.since: int | None = None  # what had been said before it first came
        self.seen: dict[int, str] = {}  # seq to message_id

    @property
    def position(self) -> int | None:
        return max(self.seen, default=self.since)

    def hear(self) -> None:
        """Takes in new frames; a double or a hole in seq is a fault."""
        assert self.device is not None
        frames = self.device.socket.frames[self.read :]
        self.read += len(frames)
        for frame in frames:
            if frame["type"] == "CHAT_MESSAGE":
                assert self.position is not None
                assert frame["seq"] == self.position + 1
                self.seen[frame["seq"]] = frame["message_id"]


class Conversation(RuleBasedStateMachine):
    """One user's devices and a server that may be restarted."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.numbers = itertools.count(1)
        self.clients = {name: Client() for name in ("phone", "tablet", "laptop")}
        self.runner.run(self._start())

    @rule(name=device_names, resumes=st.booleans())
    def join(self, name: str, resumes: bool) -> None:
        """Also while the old connection is live: it is replaced."""
        self.runner.run(self._join(self.clients[name], name, resumes))

    @rule(name=device_names, count=st.integers(1, 4), pause=st.integers(0, 3))
    def send(self, name: str, count: int, pause: int) -> None:
        names = [f"m{next(self.numbers)}" for _ in range(count)]
        self.runner.run(self._send(self.clients[name], name, names, pause))

    @rule(name=device_names, number=st.integers(1, 30))
    def resend(self, name: str, number: int) -> None:
        """From any device, of a message that may be saved, being saved or lost."""
        self.runner.run(self._send(self.clients[name], name, [f"m{number}"], 0))

    @precondition(lambda self: any(client.device for client in self.clients.values()))
    @rule(data=st.data(), dies_while_sending=st.booleans())
    def drop(self, data: st.DataObject, dies_while_sending: bool) -> None:
        connected = [name for name, client in self.clients.items() if client.device]
        name = data.draw(st.sampled_from(connected))
        if dies_while_sending:
            self.send(name, 2, 0)
        self._leave(self.clients[name])

    @rule()
    def restart(self) -> None:
        self.runner.run(self._restart())

    @rule()
    def compare(self) -> None:
        self.runner.run(self._compare())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            self.runner.run(self._compare())
            self.runner.run(self._stop())
            self.runner.close()
            self.folder.cleanup()

    async def _start(self) -> None:
        self.store = SqliteStore(Path(self.folder.name) / "chat.db", is_durable=False)
        await self.store.open()
        self.stage = Stage(self.store, recovery_max_messages=MAX_REPLAY)

    async def _stop(self) -> None:
        for client in self.clients.values():
            self._leave(client)
        await self.stage.delivery.drained()
        await self.stage.background.stop()
        await self.store.close()

    async def _restart(self) -> None:
        await self._stop()
        await self._start()

    async def _join(self, client: Client, name: str, resumes: bool) -> None:
        if client.device is not None:
            client.hear()
        brought: dict[str, Any] = {}
        if client.position is not None:
            brought = {"last_seq": client.position, "epoch": client.epoch}
        device = await self.stage.join(name, session_id=client.session_id if resumes else None, **brought)
        self._leave(client, is_replaced=True)
        client.device, client.read, client.sent = device, 0, []
        client.session_id, client.epoch = device.welcome["session_id"], device.welcome["epoch"]
        if client.since is None:
            client.since = device.welcome["last_seq"]
        if gap := device.welcome["gap"]:
            for message in await self._history(gap["from"] - 1, gap["to"]):
                client.seen[message.seq] = message.message_id

    async def _send(self, client: Client, name: str, message_ids: list[str], pause: int) -> None:
        if client.device is None:
            await self._join(client, name, resumes=True)
        assert client.device is not None
        for message_id in message_ids:
            client.sent.append(message_id)
            client.device.say(message_id, f"text of {message_id}")
            await turns(pause)

    @staticmethod
    def _leave(client: Client, is_replaced: bool = False) -> None:
        if client.device is not None:
            if not is_replaced:
                client.device.connection.on_closed(1006)
            client.hear()
            client.device = None

    async def _compare(self) -> None:
        while self.stage.delivery.pending or self._is_catching_up():
            await self.stage.delivery.drained()
            await asyncio.sleep(0.001)
        await turns(5)
        history = await self._history(0, 10_000)
        assert [message.seq for message in history] == list(range(1, len(history) + 1))
        assert len({message.message_id for message in history}) == len(history)
        for client in self.clients.values():
            if client.device is not None:
                self._check_connected(client, history)

    def _check_connected(self, client: Client, history: list[StoredMessage]) -> None:
        client.hear()
        assert client.device is not None
        assert client.since is not None
        assert client.seen == {m.seq: m.message_id for m in history if m.seq > client.since}
        answers = client.device.answers
        assert sorted(f["message_id"] for f in answers) == sorted(client.sent)
        seqs = {message.message_id: message.seq for message in history}
        assert all(f["type"] == "ACK" and f["seq"] == seqs[f["message_id"]] for f in answers)

    def _is_catching_up(self) -> bool:
        return any(connection not in connection.room.live for connection in self.stage.manager.connections())

    async def _history(self, after: int, last: int) -> list[StoredMessage]:
        conversation = await self.store.find_conversation("conv_kai_ai_alex")
        if conversation is None:
            return []
        return await self.store.history(conversation.key, after, last - after)


TestHistoryModel = Conversation.TestCase
TestHistoryModel.settings = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
