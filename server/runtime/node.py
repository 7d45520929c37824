"""The graph of a node: every part of the runtime, built from values. For the wiring and the tests alike."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from server.core.breaker import Breaker
from server.core.connection_limits import ConnectionLimits
from server.core.rate_limit import RateLimiter
from server.ports import Backplane, Member, MessageStore, Notifier, Responder
from server.runtime.answers.ai_speech import AISpeech
from server.runtime.answers.cancellations import Cancellations
from server.runtime.answers.cluster.cancellations import NodeCancellations
from server.runtime.answers.cluster.deliveries import NodeNews, NodeReplays
from server.runtime.answers.cluster.shared import Shared
from server.runtime.answers.cluster.streams import NodeStreams
from server.runtime.answers.cluster.turns import NodeTurns
from server.runtime.answers.events import Events
from server.runtime.answers.failing import Failures
from server.runtime.answers.figures import AnswerFigures
from server.runtime.answers.gate import Gate
from server.runtime.answers.news import EVENT as UNDELIVERED
from server.runtime.answers.news import UndeliveredNews
from server.runtime.answers.replays import Replays
from server.runtime.answers.service import Deliveries
from server.runtime.answers.streams import StreamConfig, Streams
from server.runtime.answers.turns import TurnConfig, Turns
from server.runtime.base.background import Background
from server.runtime.base.clock import now_ms
from server.runtime.base.ids import IdMaker
from server.runtime.base.metrics import Metrics
from server.runtime.base.tokens import Tokens
from server.runtime.messages.delivery import Delivery
from server.runtime.messages.gap_repair import GapRepair
from server.runtime.messages.join import JoinConfig, JoinHandler
from server.runtime.messages.receiver import FrameLimits
from server.runtime.messages.replay import Replayer
from server.runtime.messages.trace import MessageTrace
from server.runtime.nodes.alone import Alone, Ground
from server.runtime.nodes.cluster import Cluster
from server.runtime.nodes.figures import NodeFigures
from server.runtime.process.heartbeat import Heartbeat
from server.runtime.process.shutdown import Shutdown
from server.runtime.rooms.admission import Admission
from server.runtime.rooms.device_counts import DeviceCounts
from server.runtime.rooms.flusher import Flusher
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Room
from server.runtime.rooms.sessions import Sessions
from server.runtime.signals.handlers import SignalHandlers
from server.runtime.signals.receipts import Receipts
from server.runtime.signals.simulated_status import SimulatedStatus

# Messages of which GET .../messages/{message_id} still tells the events: a few hundred bytes each.
_TRACED_MESSAGES: Final = 1000


@dataclass(frozen=True)
class ServiceConfig:
    """`events` that the application's service is told of; `concurrency`: calls to it at the same time.

    `attempts`: refusals after which a turn, or a piece of news, is given up.
    """

    events: frozenset[str] = frozenset()
    concurrency: int = 64
    attempts: int = 12


@dataclass(frozen=True)
class NodeConfig:
    """The values that a node is built from; times in seconds. The defaults are those of the settings."""

    join: JoinConfig
    connections: ConnectionLimits
    frames: FrameLimits = field(default_factory=FrameLimits)
    turns: TurnConfig = field(default_factory=TurnConfig)
    streams: StreamConfig = field(default_factory=StreamConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)
    messages: RateLimiter | None = None
    signals: RateLimiter | None = None
    joins: RateLimiter | None = None
    reads: RateLimiter | None = None  # through the REST API by a user's token
    send_queue: int = 256
    version: str = ""
    session_ttl: float = 300.0
    node_ttl: float = 5.0
    store_timeout: float = 5.0
    shutdown_grace: float = 10.0
    typing_timeout: float = 4.0
    ai_typing_timeout: float = 30.0
    typing_delay: tuple[float, float] = (1.0, 3.0)
    simulate_status: bool = False
    kept_events: int = 1000  # connects and disconnects
    kept_errors: int = 500


class Node:
    """Holds the parts; each gets what it needs and knows no more. Nothing runs until `start`."""

    def __init__(
        self,
        config: NodeConfig,
        store: MessageStore,
        responder: Responder | None = None,
        tokens: Tokens | None = None,
        service: Notifier | None = None,
        backplane: Backplane | None = None,
    ) -> None:
        self._backplane = backplane
        self._started_at = now_ms()
        self._config = config
        self._service = service
        self._gate = None if service is None else Gate(Breaker(config.service.concurrency))
        self.store = store
        self._responder = responder
        self.tokens = tokens
        self.ids = IdMaker()
        self.reads = config.reads
        self.metrics = Metrics(config.kept_events, config.kept_errors)
        self.background = Background()
        self._build_rooms()
        self._build_signals()
        self._build_messages()
        self._build_answers()
        self._build_process()
        members = None if self.cluster is None else self.cluster.members
        self.nodes = NodeFigures(self._describe, backplane, members)

    async def open(self) -> None:
        """Connects to the other nodes, where there may be any."""
        await self._parts.open()

    def start(self) -> None:
        """Run what goes on by itself: heartbeats, rates' windows, the answers that are owed."""
        self._parts.start()
        self.heartbeat.start(self.background)
        if self._gate is not None:
            self.background.run(self.deliveries.watch(), "watch-deliveries")
        if self._replays is not None:
            self.background.run(self._replays.run(), "replays")
        if self._news is not None:
            self.background.run(self._news.run(), "undelivered-news")
        if self._events is not None:
            self._events.start(self.background)
        if self.turns is not None:
            self.background.run(self.turns.resume(), "resume-turns")

    async def stop(self) -> None:
        """End what `start` began, and whatever else runs by itself."""
        await self.background.stop()
        await self._parts.close()

    async def kick(self, connection_id: str) -> bool:
        """Closes a connection for an operator, on whatever node; False where there is none."""
        return self.manager.kick(connection_id) or await self._parts.kick(connection_id)

    def _build_rooms(self) -> None:
        config = self._config
        self._flusher = Flusher(asyncio.get_running_loop())
        self.replies = Replies(self.metrics, self.ids, self._flusher)
        self.sessions = Sessions(config.session_ttl)
        self.manager = ConnectionManager(
            self.metrics, self.sessions, self._flusher, self.replies, config.send_queue
        )
        self.admission = Admission(self.manager, config.connections)
        self.replayer = Replayer(self.manager, self.store, self.background)
        self._parts = self._choose_parts()
        self.fan_out = self._parts.fan_out
        self.presence = self._parts.presence()
        self.presence.when_forgotten(self.metrics.forget_user)
        self.manager.when_changed(DeviceCounts(self.fan_out).changed)
        self.store.when_replaced(self.manager.start_over)
        self._build_limiters()

    def _build_limiters(self) -> None:
        config = self._config
        self._messages = self._parts.limiter("messages", config.messages)
        self._signals = self._parts.limiter("signals", config.signals)
        self._joins = self._parts.limiter("joins", config.joins)

    def _choose_parts(self) -> Alone:
        ground = Ground(
            self.store,
            self.manager,
            self.sessions,
            self.replies,
            self.replayer,
            self.ids,
            self.background,
        )
        self.cluster: Cluster | None = None
        if self._backplane is None:
            return Alone(ground)
        config = self._config
        self.cluster = Cluster(ground, self._backplane, self._describe, config.node_ttl, config.session_ttl)
        return self.cluster

    def _describe(self) -> Member:
        """Tell the other nodes of this one."""
        status = "draining" if self.joins.is_draining else "ok"
        rate = self.metrics.rate_per_second
        return Member(
            self.ids.prefix, self._started_at, self.manager.current, rate, status, self._config.version
        )

    def _build_signals(self) -> None:
        config, store = self._config, self.store
        self.typing = self._parts.typing(config.typing_timeout, config.ai_typing_timeout)
        self.receipts = Receipts(store, self.fan_out, config.store_timeout)
        self.statuses = self._parts.statuses()
        self.simulated = SimulatedStatus(self.statuses) if config.simulate_status else None

    def _build_messages(self) -> None:
        config, store = self._config, self.store
        self.trace = MessageTrace(_TRACED_MESSAGES)
        self.conversations = self._parts.conversations(config.store_timeout)
        self.announcer = self._parts.announcer(self.conversations)
        repair = GapRepair(store, self.fan_out, self.background)
        self.delivery = Delivery(
            store,
            self.manager,
            self.replies,
            self.fan_out,
            repair,
            self.typing,
            self.trace,
            self.metrics,
            config.store_timeout,
        )
        self.handlers = SignalHandlers(self.replies, self.typing, self.receipts, self.background, self.tokens)
        self.receiver = self._parts.receiver(
            self.delivery,
            self.typing,
            self.handlers,
            self._messages,
            self._signals,
            config.frames,
        )
        entrance = self._parts.entrance(self.conversations, config.join.auto_create, config.connections)
        self.joins = JoinHandler(
            self.manager,
            self.ids,
            self.replies,
            entrance,
            self.replayer,
            self.receiver,
            self.statuses,
            self.admission,
            self._joins,
            config.join,
        )

    def _build_answers(self) -> None:
        config = self._config
        is_service = self._responder is not None and config.turns.fixes_turns
        shared = self._shared = self._share()
        self.speech = AISpeech(
            self.store,
            self.delivery,
            self.typing,
            config.typing_delay,
            self.simulated,
            self._is_news,
            self._wake_news,
            None if shared is None else shared.is_elsewhere,
        )
        parts = (
            self.manager,
            self.replies,
            self.fan_out,
            self.typing,
            self.speech,
            self.background,
            config.streams,
        )
        self.streams = Streams(*parts) if shared is None else NodeStreams(*parts, shared)
        gate = self._gate if is_service else None
        self._failures = Failures(self.store, self.fan_out, self.metrics, config.turns.retry, self._gate)
        self.turns: Turns | None = None
        self._replays: Replays | None = None
        if self._responder is not None:
            self._build_turns(self._responder, gate)
        cancellations = Cancellations(self.store, self.streams, self.turns)
        self.handlers.when_cancelled(
            cancellations.cancel
            if self.cluster is None
            else NodeCancellations(cancellations, self.manager, self.cluster).cancel
        )
        self._build_events()
        self.deliveries = Deliveries(self.store, self._gate, self._replays)
        self.answer_figures = AnswerFigures(self.store, self.streams, self.metrics, self._gate)

    def _share(self) -> Shared | None:
        """Make what the parts need that answer where there are other nodes."""
        if self.cluster is None:
            return None
        config = self._config
        return Shared(self.cluster, self.manager, self.replies, self.store, self.background, config.node_ttl)

    def _build_turns(self, responder: Responder, gate: Gate | None) -> None:
        config, patience = self._config.turns, self._config.ai_typing_timeout
        parts = (
            self.manager,
            self.conversations,
            self.store,
            responder,
            self.speech,
            self.streams,
            self.fan_out,
            self.typing,
            self.receipts,
            self.trace,
            self.background,
            config,
            patience,
            self._failures,
            gate,
        )
        shared = self._shared
        self.turns = Turns(*parts) if shared is None else NodeTurns(*parts, shared=shared)
        self.delivery.on_chat = self.turns.message_saved
        if gate is not None:
            letters = (
                self.manager,
                self.conversations,
                self.store,
                responder,
                self.streams,
                self._failures,
                gate,
                config.history,
                patience,
            )
            self._replays = Replays(*letters) if shared is None else NodeReplays(*letters, shared=shared)

    def _build_events(self) -> None:
        wanted, shared = self._config.service, self._shared
        self._news: UndeliveredNews | None = None
        self._events: Events | None = None
        if self._service is None or self._gate is None:
            return
        if UNDELIVERED in wanted.events:
            backoff = self._config.turns.retry.backoff
            news = (self.store, self._service, self._failures, self._gate, wanted.attempts, backoff)
            self._news = UndeliveredNews(*news) if shared is None else NodeNews(*news, shared=shared)
        if others := wanted.events - {UNDELIVERED}:
            self._events = Events(self._service, self._gate, self.ids, self.metrics, others)
            self._events.listen(self.manager, self.typing, self.receipts)

    def _is_news(self, room: Room) -> bool:
        """Tell whether a message that is saved now finds nobody there, and the service wants to know."""
        if self._news is None or room.conversation is None:
            return False
        return not self.manager.devices_of(room.conversation.user_id)

    def _wake_news(self) -> None:
        if self._news is not None:
            self._news.wake()

    def _build_process(self) -> None:
        config, join = self._config, self._config.join
        limits = (self._messages, self._signals, self._joins, config.reads)
        limiters = [each for each in limits if each is not None]
        self.heartbeat = Heartbeat(
            self.manager,
            self.replies,
            self.metrics,
            limiters,
            join.heartbeat_interval,
            join.heartbeat_timeout,
        )
        self.shutdown = Shutdown(
            self.manager,
            self.replies,
            self.joins,
            self.receiver,
            self.delivery,
            self.streams,
            config.shutdown_grace,
        )
