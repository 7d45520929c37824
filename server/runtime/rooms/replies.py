"""Frames of the server to one connection: answers, and what concerns this device alone."""

import logging
import time
from typing import Final

import structlog

from server.core import payloads
from server.core.model import Refused
from server.core.outbox import Signal
from server.core.timestamps import rfc3339
from server.core.websocket_frames import text_frame
from server.protocol import MessageType
from server.runtime.base.ids import IdMaker
from server.runtime.base.metrics import Metrics
from server.runtime.rooms.flusher import Flusher
from server.runtime.rooms.outgoing import Outgoing

log = structlog.get_logger()

_NS_PER_MS: Final = 1_000_000


class Replies:
    """Makes them, counts them and offers them."""

    def __init__(self, metrics: Metrics, ids: IdMaker, flusher: Flusher) -> None:
        self._metrics = metrics
        self._ids = ids
        self._flusher = flusher
        self._turn_stamp = ""
        self._is_traced = log.is_enabled_for(logging.DEBUG)

    def hold(self) -> None:
        """Give all ACKs one stamp until `flush`, which the caller owes in this turn of the loop."""
        self._turn_stamp = self.stamp()
        self._flusher.hold()

    def flush(self) -> None:
        """Write out now what was offered in this turn of the loop."""
        self._turn_stamp = ""
        self._flusher.flush()

    def stamp(self) -> str:
        """Return the time now, as frames have it."""
        return rfc3339(time.time_ns() // _NS_PER_MS)

    def ack(
        self, connection: Outgoing, message_id: str, seq: int | None = None, duplicate: bool = False
    ) -> None:
        """Tell that it is done. `seq` is that of a saved message."""
        self._metrics.acked += 1
        if duplicate:
            self._metrics.duplicates += 1
        if self._is_traced:
            log.debug("acked", message_id=message_id, seq=seq, connection_id=connection.info.connection_id)
        stamp = self._turn_stamp or self.stamp()
        frame = text_frame(payloads.ack(connection.info.conversation_id, message_id, seq, duplicate, stamp))
        if seq is None:
            connection.offer(frame)
        else:
            connection.offer_ack(seq, frame)

    def nack(self, connection: Outgoing, message_id: str, why: Refused) -> None:
        """Tell that it is not done, and why."""
        self._metrics.nacked[why.code] += 1
        if self._is_traced:
            info = connection.info
            log.debug("nacked", message_id=message_id, code=why.code, connection_id=info.connection_id)
        self._refuse(connection, message_id, why)

    def error(self, connection: Outgoing, why: Refused) -> None:
        """Tell of a frame that cannot be answered by a NACK."""
        self._refuse(connection, None, why)

    def system(self, connection: Outgoing, data: object) -> None:
        """Send a SYSTEM message."""
        self.send(connection, MessageType.SYSTEM, data)

    def send(self, connection: Outgoing, type: MessageType, data: object) -> None:
        """Send a frame under the conversation that the device is in."""
        info = connection.info
        payload = payloads.signal(type, info.conversation_id, self._ids.new(), data, self.stamp())
        connection.offer(text_frame(payload))

    def ping(self, connection: Outgoing) -> None:
        """Ask for a sign of life."""
        info = connection.info
        payload = payloads.signal(MessageType.PING, info.conversation_id, self._ids.new(), None, self.stamp())
        connection.offer(Signal(text_frame(payload), "PING"))

    def pong(self, connection: Outgoing, message_id: str | None, data: object) -> None:
        """Answer a PING, repeating its message_id and data."""
        info = connection.info
        payload = payloads.signal(
            MessageType.PONG, info.conversation_id, message_id or self._ids.new(), data, self.stamp()
        )
        connection.offer(Signal(text_frame(payload), "PONG"))

    def _refuse(self, connection: Outgoing, message_id: str | None, why: Refused) -> None:
        info = connection.info
        self._metrics.record_error(why.code, why.text, message_id=message_id, **info.context())
        new_id = self._ids.new()
        payload = payloads.refusal(info.conversation_id, message_id, why, self.stamp(), new_id)
        connection.offer(text_frame(payload))
