"""What comes from other nodes, handed to whoever is concerned by its kind; and the way to them."""

from collections import defaultdict
from collections.abc import Callable

import structlog

from server.core.envelope import Envelope, Kind, pack, unpack
from server.ports import Channels

log = structlog.get_logger()

ALL_NODES = "nodes"
"""The channel that every node listens to."""

_OF_CONVERSATION = "conversation:"

Take = Callable[[str, Envelope], None]


def conversation_channel(conversation_id: str) -> str:
    """Name the channel of those nodes that have devices of the conversation."""
    return _OF_CONVERSATION + conversation_id


def conversation_of(channel: str) -> str:
    """Return the conversation whose channel it is."""
    return channel.removeprefix(_OF_CONVERSATION)


def node_channel(node_id: str) -> str:
    """Name the channel that only that node listens to."""
    return "node:" + node_id


class Switchboard:
    """Implements BackplaneListener. A node hears nothing of what it published itself."""

    def __init__(self, channels: Channels, node_id: str) -> None:
        self.node_id = node_id
        self._origin = node_id.encode()
        self._channels = channels
        self._takers: defaultdict[int, list[Take]] = defaultdict(list)
        self._on_back: list[Callable[[], None]] = []
        self._on_away: list[Callable[[], None]] = []
        self.is_away = True  # nothing is heard of the other nodes

    def on(self, kind: Kind, take: Take) -> None:
        """From now on `take` is called with the channel and the envelope of each one of that kind."""
        self._takers[kind].append(take)

    def when_back(self, tell: Callable[[], None]) -> None:
        """From now on `tell` is called when the backplane is there, for the first time or again."""
        self._on_back.append(tell)

    def when_away(self, tell: Callable[[], None]) -> None:
        """From now on `tell` is called when the backplane is lost."""
        self._on_away.append(tell)

    def publish(self, channel: str, kind: Kind, head: bytes, frame: bytes = b"") -> bool:
        """Sends an envelope; False where it cannot be sent. All of a turn of the loop leave in one write."""
        return self._channels.publish(channel, pack(kind, self._origin, head, frame))

    def received(self, channel: str, payload: bytes) -> None:
        envelope = unpack(payload)
        if envelope is None or envelope.origin == self.node_id:
            return
        for take in self._takers.get(envelope.kind, ()):
            try:
                take(channel, envelope)
            except Exception:
                log.exception("what another node sent failed", channel=channel, kind=envelope.kind)

    def came_back(self) -> None:
        self.is_away = False
        self._tell_all(self._on_back)

    def went_away(self) -> None:
        self.is_away = True
        self._tell_all(self._on_away)

    @staticmethod
    def _tell_all(listeners: list[Callable[[], None]]) -> None:
        for tell in listeners:
            try:
                tell()
            except Exception:
                log.exception("a listener of the backplane failed")
