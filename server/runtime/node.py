"""The graph of a node: every part of the runtime, built from values. For the wiring and the tests alike."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from server.core.connection_limits import ConnectionLimits
from server.core.rate_limit import RateLimiter
from server.ports import MessageStore, Responder
from server.runtime.answers.ai_speech import AISpeech
from server.runtime.answers.streams import StreamConfig, Streams
from server.runtime.answers.turns import TurnConfig, Turns
from server.runtime.base.background import Background
from server.runtime.base.ids import IdMaker
from server.runtime.base.metrics import Metrics
from server.runtime.base.tokens import Tokens
from server.runtime.messages.conversations import Conversations
from server.runtime.messages.delivery import Delivery
from server.runtime.messages.gap_repair import GapRepair
from server.runtime.messages.join import JoinConfig, JoinHandler
from server.runtime.messages.receiver import FrameLimits, Receiver
from server.runtime.messages.replay import Replayer
from server.runtime.messages.trace import MessageTrace
from server.runtime.process.heartbeat import Heartbeat
from server.runtime.process.shutdown import Shutdown
from server.runtime.rooms.admission import Admission
from server.runtime.rooms.device_counts import DeviceCounts
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.flusher import Flusher
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.presence import Presence
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Room
from server.runtime.rooms.sessions import Sessions
from server.runtime.signals.ai_status import AIStatuses
from server.runtime.signals.announcer import Announcer
from server.runtime.signals.handlers import SignalHandlers
from server.runtime.signals.receipts import Receipts
from server.runtime.signals.simulated_status import SimulatedStatus
from server.runtime.signals.typing import TypingRelay

# Messages of which GET .../messages/{message_id} still tells the events: a few hundred bytes each.
_TRACED_MESSAGES: Final = 1000


@dataclass(frozen=True)
class NodeConfig:
    """The values that a node is built from; times in seconds. The defaults are those of the settings."""

    join: JoinConfig
    connections: ConnectionLimits
    frames: FrameLimits = field(default_factory=FrameLimits)
    turns: TurnConfig = field(default_factory=TurnConfig)
    streams: StreamConfig = field(default_factory=StreamConfig)
    messages: RateLimiter | None = None
    signals: RateLimiter | None = None
    joins: RateLimiter | None = None
    reads: RateLimiter | None = None  # through the REST API by a user's token
    send_queue: int = 256
    session_ttl: float = 300.0
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
    ) -> None:
        self._config = config
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

    def start(self) -> None:
        """Run what goes on by itself: heartbeats, rates' windows, the answers that are owed."""
        self.heartbeat.start(self.background)
        if self.turns is not None:
            self.background.run(self.turns.resume(), "resume-turns")

    async def stop(self) -> None:
        """End what `start` began, and whatever else runs by itself."""
        await self.background.stop()

    def _build_rooms(self) -> None:
        config = self._config
        self._flusher = Flusher(asyncio.get_running_loop())
        self.replies = Replies(self.metrics, self.ids, self._flusher)
        self.sessions = Sessions(self.ids, config.session_ttl)
        self.manager = ConnectionManager(
            self.metrics, self.ids, self.sessions, self._flusher, self.replies, config.send_queue
        )
        self.admission = Admission(self.manager, config.connections)
        self.presence = Presence(self.manager)
        self.replayer = Replayer(self.manager, self.store, self.background)
        self.fan_out = FanOut(self.replies, self.ids, self.replayer.bring_up)
        self.manager.when_changed(DeviceCounts(self.fan_out).changed)
        self.store.when_replaced(self.manager.start_over)

    def _build_signals(self) -> None:
        config, store = self._config, self.store
        self.typing = TypingRelay(self.manager, self.fan_out, config.typing_timeout, config.ai_typing_timeout)
        self.receipts = Receipts(store, self.fan_out, config.store_timeout)
        self.statuses = AIStatuses(self.manager, self.fan_out, self.background)
        self.simulated = SimulatedStatus(self.statuses) if config.simulate_status else None
        self.announcer = Announcer(self.manager, self.fan_out)

    def _build_messages(self) -> None:
        config, store = self._config, self.store
        self.trace = MessageTrace(_TRACED_MESSAGES)
        self.conversations = Conversations(
            store, self.manager, self.ids, self.background, config.store_timeout
        )
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
        self.receiver = Receiver(
            self.replies,
            self.delivery,
            self.typing,
            self.handlers,
            self.background,
            config.messages,
            config.signals,
            config.frames,
        )
        self.joins = JoinHandler(
            self.manager,
            self.replies,
            self.conversations,
            self.replayer,
            self.receiver,
            self.statuses,
            self.admission,
            config.joins,
            config.join,
        )

    def _build_answers(self) -> None:
        config = self._config
        self.speech = AISpeech(self.store, self.delivery, self.typing, config.typing_delay, self.simulated)
        self.streams = Streams(
            self.manager,
            self.replies,
            self.fan_out,
            self.typing,
            self.speech,
            self.background,
            config.streams,
        )
        self.handlers.when_cancelled(self._cancel)
        self.turns: Turns | None = None
        if self._responder is not None:
            self.turns = Turns(
                self.manager,
                self.conversations,
                self.store,
                self._responder,
                self.speech,
                self.streams,
                self.fan_out,
                self.typing,
                self.receipts,
                self.trace,
                self.metrics,
                self.background,
                config.turns,
            )
            self.delivery.on_chat = self.turns.message_saved

    def _cancel(self, room: Room, message_id: str | None) -> bool:
        """Stop what is being written, and what is being prepared."""
        is_prepared = self.turns is not None and self.turns.cancel(room, message_id)
        return self.streams.cancel(room, message_id) or is_prepared

    def _build_process(self) -> None:
        config, join = self._config, self._config.join
        limits = (config.messages, config.signals, config.joins, config.reads)
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
