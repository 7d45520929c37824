"""Whatever devices and the database do, and wherever the process dies: the history is what each device saw.

On the real stores; the sockets are the test's.
"""

import asyncio
import itertools
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from server.core.model import Draft, Outcome, StoredMessage
from server.ports import Batch, Commit, PendingCommit, StoreUnavailable
from server.runtime.messages import gap_repair
from server.runtime.rooms.room import Connection
from server.store import sqlite_saving
from server.store.postgres import PostgresStore, lane
from server.store.postgres.administration import upgrade
from server.store.sqlite import SqliteStore
from tests.support.device import CONVERSATION
from tests.support.postgres_server import PostgresServer
from tests.support.sqlite_faults import Tap
from tests.support.stage import FakeSocket, Stage, StageDevice, turns
from tests.support.tcp_proxy import Fate, tcp_proxy

MAX_REPLAY = 6  # small, so that gaps occur
SEND_QUEUE = 5  # small, so that slow devices are closed
NAMES = ("phone", "tablet", "laptop")
device_names = st.sampled_from(NAMES)


class Mortal:
    """A store that may die: then it says nothing more, as a process that was killed; what it began ends."""

    is_dead = False

    def save(self, batch: Batch[Draft]) -> Commit[Outcome]:
        answer: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

        def tell(outcomes: list[Outcome], fault: BaseException | None) -> None:
            if not self.is_dead:
                answer.set_result(outcomes)

        if not self.is_dead:
            saving: Commit[Outcome] = super().save(batch)  # type: ignore[misc]
            saving.when_over(tell)
        return PendingCommit(answer)


class MortalSqlite(Mortal, SqliteStore):
    pass


class MortalPostgres(Mortal, PostgresStore):
    pass


class SqliteFile:
    """A database, and what may go wrong with it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._tap = Tap()
        self._normal = sqlite_saving._IN_DOUBT_SECONDS

    def new_store(self) -> MortalSqlite:
        self._tap.on_execute = lambda sql, run: run()
        path = Path(self._folder.name) / "chat.db"
        return MortalSqlite(path, is_durable=False, connection=self._tap.connection)

    def spoil(self, message_id: str, is_done: bool, is_in_doubt: bool) -> None:
        """The commit of that message fails. `is_done`: although it is there; `is_in_doubt`: and nobody can
        find out at once.
        """
        self._tap.spoil("COMMIT", is_run=is_done)
        sqlite_saving._IN_DOUBT_SECONDS = 0.0 if is_in_doubt else self._normal  # type: ignore[misc]

    def close(self) -> None:
        sqlite_saving._IN_DOUBT_SECONDS = self._normal  # type: ignore[misc]
        self._folder.cleanup()


class PostgresDatabase:
    """The same, behind a proxy."""

    server: PostgresServer  # the fixture's
    name: str

    def __init__(self) -> None:
        self.server.sql("TRUNCATE conversations, messages, positions, turns, undelivered", self.name)
        self._stack = ExitStack()
        self._proxy = self._stack.enter_context(tcp_proxy(self.server.port))
        self._normal = lane._IN_DOUBT_SECONDS, lane._AGAIN_SECONDS

    def new_store(self) -> MortalPostgres:
        return MortalPostgres(self.server.url(self.name, self._proxy.port), pool=3)

    def spoil(self, message_id: str, is_done: bool, is_in_doubt: bool) -> None:
        fate = Fate.CUT if is_done else Fate.LOST
        self._proxy.spoil_answer(message_id.encode(), fate)
        doubt, again = self._normal
        lane._IN_DOUBT_SECONDS = 0.0 if is_in_doubt else doubt  # type: ignore[misc]
        lane._AGAIN_SECONDS = 0.0 if is_done else again  # type: ignore[misc]

    def close(self) -> None:
        lane._IN_DOUBT_SECONDS, lane._AGAIN_SECONDS = self._normal  # type: ignore[misc]
        self._stack.close()


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

    def hear(self, is_replaced: bool = False) -> list[dict[str, Any]]:
        """Takes in new frames; a double or a hole in seq is a fault, and an ACK ahead of its message.

        What an old connection says when the new one has told its last_seq, that one says again.
        Returns the answers.
        """
        assert self.device is not None
        frames = self.device.socket.frames[self.read :]
        self.read += len(frames)
        for frame in () if is_replaced else frames:
            assert self.position is not None
            if frame["type"] == "CHAT_MESSAGE":
                assert frame["seq"] == self.position + 1
                self.seen[frame["seq"]] = frame["message_id"]
            elif frame["type"] == "ACK":
                assert frame["seq"] <= self.position
        return [frame for frame in frames if frame["type"] in ("ACK", "NACK")]

    def welcomed(self, device: StageDevice) -> None:
        welcome = device.welcome
        self.device, self.read, self.sent = device, 0, []
        self.session_id = welcome["session_id"]
        if self.epoch not in (None, welcome["epoch"]):
            self.seen, self.since = {}, 0  # the log was replaced: all of it is news
        self.epoch = welcome["epoch"]
        if self.since is None:
            self.since = welcome["last_seq"]


class Conversation(RuleBasedStateMachine):
    """One user's devices, and a server that may be restarted or killed."""

    make_database: type[SqliteFile | PostgresDatabase] = SqliteFile

    @initialize()
    def begin(self) -> None:
        self.database = self.make_database()
        self.runner = asyncio.Runner()
        self.numbers = itertools.count(1)
        self.clients = {name: Client() for name in NAMES}
        self.sent: list[str] = []  # in the present log
        self.answers: list[dict[str, Any]] = []  # to those
        self.normal = gap_repair._PAUSE
        gap_repair._PAUSE = 0.001  # type: ignore[misc]
        self.runner.run(self._start())

    @rule(name=device_names, resumes=st.booleans())
    def join(self, name: str, resumes: bool) -> None:
        """Also while the old connection is live: it is replaced."""
        self.runner.run(self._join(name, resumes))

    @rule(name=device_names, count=st.integers(1, 6), pause=st.integers(0, 3))
    def send(self, name: str, count: int, pause: int) -> None:
        names = [f"m{next(self.numbers)}" for _ in range(count)]
        self.runner.run(self._send(name, names, pause))

    @rule(name=device_names, number=st.integers(1, 30))
    def resend(self, name: str, number: int) -> None:
        """From any device, of a message that may be saved, being saved or lost."""
        self.runner.run(self._send(name, [f"m{number}"], 0))

    @precondition(lambda self: any(client.device for client in self.clients.values()))
    @rule(data=st.data(), dies_while_sending=st.booleans())
    def drop(self, data: st.DataObject, dies_while_sending: bool) -> None:
        connected = [name for name, client in self.clients.items() if client.device]
        name = data.draw(st.sampled_from(connected))
        if dies_while_sending:
            self.send(name, 2, 0)
        self._leave(self.clients[name])

    @rule(name=device_names, reads=st.booleans())
    def change_pace(self, name: str, reads: bool) -> None:
        """A device that does not read falls behind, and is closed when it is too far behind."""
        self.runner.run(self._change_pace(self.clients[name], reads))

    @rule(name=device_names, is_done=st.booleans(), is_in_doubt=st.booleans())
    def send_into_a_commit_that_fails(self, name: str, is_done: bool, is_in_doubt: bool) -> None:
        self.join(name, resumes=True)
        message_id = f"m{next(self.numbers)}"
        self.database.spoil(message_id, is_done, is_in_doubt)
        self.runner.run(self._send(name, [message_id], 0))

    @rule()
    def delete(self) -> None:
        self.runner.run(self._delete())

    @rule(dies=st.booleans())
    def restart(self, dies: bool) -> None:
        self.runner.run(self._restart(dies))

    @rule()
    def compare(self) -> None:
        self.runner.run(self._compare())

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            try:
                self.runner.run(self._compare())
                self.runner.run(self._stop())
            finally:
                gap_repair._PAUSE = self.normal  # type: ignore[misc]
                self.runner.close()
                self.database.close()

    # ---- what happens -------------------------------------------------------------------------------

    async def _start(self) -> None:
        self.store: MortalSqlite | MortalPostgres = self.database.new_store()
        await self.store.open()
        self.stage = Stage(
            self.store, recovery_max_messages=MAX_REPLAY, send_queue=SEND_QUEUE, store_timeout=60.0
        )

    async def _stop(self) -> None:
        for client in self.clients.values():
            self._leave(client)
        await self.stage.delivery.drained()
        await self.stage.background.stop()
        await self.store.close()

    async def _restart(self, dies: bool) -> None:
        self.store.is_dead = dies
        if dies:
            for client in self.clients.values():
                self._leave(client)
            await self.stage.background.stop()
            await self.store.close()
        else:
            await self._stop()
        await self._start()

    async def _join(self, name: str, resumes: bool) -> None:
        client = self.clients[name]
        if client.device is not None:
            self._hear(client)
        brought: dict[str, Any] = {}
        if client.position is not None:
            brought = {"last_seq": client.position, "epoch": client.epoch}
        socket = FakeSocket()
        session_id = client.session_id if resumes else None
        connection = await self.stage.ask_to_join(socket, name, session_id=session_id, **brought)
        if not isinstance(connection, Connection):
            return  # the conversation could not be created
        self.stage.replies.flush()
        self._leave(client, is_replaced=True)
        client.welcomed(StageDevice(connection, socket))
        found = await self.store.find_conversation(CONVERSATION)
        assert found is not None and socket.frames[0]["data"]["last_seq"] <= found.last_seq
        if gap := socket.frames[0]["data"]["gap"]:
            for message in await self._history(gap["from"] - 1, gap["to"]):
                client.seen[message.seq] = message.message_id

    async def _send(self, name: str, message_ids: list[str], pause: int) -> None:
        client = self.clients[name]
        if client.device is None or client.device.socket.closed:
            await self._join(name, resumes=True)
        for message_id in message_ids:
            if client.device is not None and not client.device.socket.closed:
                client.sent.append(message_id)
                self.sent.append(message_id)
                client.device.say(message_id, f"text of {message_id}")
                await turns(pause)

    async def _change_pace(self, client: Client, reads: bool) -> None:
        if client.device is not None:
            client.device.socket.is_writable = reads
            if reads:
                client.device.connection.on_writable()
            await turns(1)

    async def _delete(self) -> None:
        await self.stage.delivery.drained()
        await self._settle()
        with suppress(StoreUnavailable):
            await self.stage.conversations.delete([CONVERSATION])
        for client in self.clients.values():
            self._leave(client)
        if await self.store.find_conversation(CONVERSATION) is None:
            self.sent, self.answers = [], []

    def _leave(self, client: Client, is_replaced: bool = False) -> None:
        if client.device is not None:
            if not is_replaced:
                client.device.connection.on_closed(1006)
            self._hear(client, is_replaced)
            client.device = None

    def _hear(self, client: Client, is_replaced: bool = False) -> None:
        self.answers += client.hear(is_replaced)

    # ---- what must hold -----------------------------------------------------------------------------

    async def _compare(self) -> None:
        await self._settle()
        history = await self._history(0, 10_000)
        assert [message.seq for message in history] == list(range(1, len(history) + 1))
        seqs = {message.message_id: message.seq for message in history}
        assert len(seqs) == len(history)
        for client in self.clients.values():
            if client.device is not None:
                self._check_connected(client, history)
        self._check_answers(seqs)

    async def _settle(self) -> None:
        for client in self.clients.values():
            await self._change_pace(client, reads=True)
            if client.device is not None and client.device.socket.closed:
                self._leave(client)
        for _ in range(3):  # a save may end in doubt, whose end begins replays
            await self.stage.delivery.drained()
            await self.stage.background.finished()
        await turns(5)

    def _check_connected(self, client: Client, history: list[StoredMessage]) -> None:
        self._hear(client)
        assert client.device is not None and client.since is not None
        assert client.seen == {m.seq: m.message_id for m in history if m.seq > client.since}
        answers = client.device.answers
        assert sorted(f["message_id"] for f in answers) == sorted(client.sent)
        new = {f["message_id"]: f["seq"] for f in answers if f["type"] == "ACK" and "duplicate" not in f}
        said_once = [message_id for message_id in client.sent if client.sent.count(message_id) == 1]
        in_order = [new[message_id] for message_id in said_once if message_id in new]
        assert in_order == sorted(in_order)

    def _check_answers(self, seqs: dict[str, int]) -> None:
        """An ACK tells the seq in the history; what was always said to be unsaved is not there."""
        denied = [f["message_id"] for f in self.answers if _code(f) == "store_unavailable"]
        for answer in self.answers:
            message_id = answer["message_id"]
            if answer["type"] == "ACK":
                assert answer["seq"] == seqs[message_id]
            elif _code(answer) == "store_unavailable":
                assert denied.count(message_id) < self.sent.count(message_id) or message_id not in seqs
            else:
                assert _code(answer) == "outcome_unknown"

    async def _history(self, after: int, last: int) -> list[StoredMessage]:
        conversation = await self.store.find_conversation(CONVERSATION)
        if conversation is None:
            return []
        return await self.store.history(conversation.key, after, last - after)


def _code(answer: dict[str, Any]) -> str | None:
    return answer["error"]["code"] if "error" in answer else None


TestHistoryModel = Conversation.TestCase
TestHistoryModel.settings = settings(max_examples=60, stateful_step_count=30)


class ConversationOnPostgres(Conversation):
    make_database = PostgresDatabase


@pytest.fixture
def postgres_for_model(postgres: PostgresServer, postgres_database: str) -> None:
    asyncio.run(upgrade(postgres.url(postgres_database)))
    PostgresDatabase.server, PostgresDatabase.name = postgres, postgres_database


@pytest.mark.usefixtures("postgres_for_model")
class TestHistoryModelOnPostgres(ConversationOnPostgres.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=15, stateful_step_count=30)
