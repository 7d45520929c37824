"""Answers that are written here, shown on all nodes; and those that others write, shown here."""

from typing import Any, Final

from server.core.envelope import Kind, facts_head
from server.core.model import Refused
from server.core.stream_text import Piece
from server.protocol import ErrorCode, MessageType
from server.runtime.answers.ai_speech import AISpeech
from server.runtime.answers.cluster.shared import Shared
from server.runtime.answers.streams import ABORTED, Stream, StreamConfig, Streams
from server.runtime.base.background import Background
from server.runtime.nodes.switchboard import conversation_channel
from server.runtime.rooms.fan_out import FanOut
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, Room
from server.runtime.signals.typing import TypingRelay

_WAS_AWAY: Final = Refused(ErrorCode.INTERNAL_ERROR, "the server was stopped while the answer was written")


class NodeStreams(Streams):
    """Tells the other nodes of each piece and each end, and whoever asks of all that was shown so far."""

    def __init__(
        self,
        manager: ConnectionManager,
        replies: Replies,
        fan_out: FanOut,
        typing: TypingRelay,
        speech: AISpeech,
        background: Background,
        config: StreamConfig,
        shared: Shared,
    ) -> None:
        super().__init__(manager, replies, fan_out, typing, speech, background, config)
        self._switchboard = shared.cluster.switchboard
        self._channels = shared.cluster.channels
        self._heard = shared.heard
        self._heard.when_asked(self._tell_all_of)
        self._heard.when_written_here(self.is_written)
        self._channels.when_heard(self._tell_all_of)
        shared.cluster.switchboard.when_back(self._tell_all)
        shared.cluster.fan_out.when_heard(self._message_heard)
        shared.cluster.members.when_woken(self.forsake_all)

    def is_written(self, room: Room, message_id: str) -> bool:
        """Tell whether an answer under that id is being written here."""
        return message_id in self._open.get(room, ())

    def open(
        self, room: Room, message_id: str, answers: int | None = None, keeps_part: bool = False
    ) -> Stream | None:
        """As Streams does; who joins on another node will ask on the conversation's channel."""
        if self._heard.is_written(room, message_id):
            return None
        stream = super().open(room, message_id, answers, keeps_part)
        if stream is not None:
            self._background.run(self._channels.listen(room), "listen")
        return stream

    def answered(self, room: Room) -> list[int]:
        """As Streams does, of all nodes."""
        return super().answered(room) + self._heard.answered(room)

    def show(self, stream: Stream, piece: Piece) -> None:
        """Offer a piece to the devices on all nodes."""
        super().show(stream, piece)
        self._tell_piece(stream, piece)

    def over(self, stream: Stream, is_aborted: bool) -> None:
        """Forget a stream on all nodes; one that another node writes under the same id is shown now."""
        room, message_id = stream.room, stream.message_id
        super().over(stream, is_aborted)
        if not is_aborted:
            self._tell(room, {"id": message_id, "over": True})
        self._heard.reveal(room, message_id)

    def tell_aborted(self, room: Room, message_id: str) -> None:
        """Have the devices on all nodes forget an answer, but for one of another node."""
        self._typing.stop_ai(room)
        chunk, devices = MessageType.AI_RESPONSE_CHUNK, room.connections
        self._fan_out.signal(room, chunk, ABORTED, room.ai_id, message_id=message_id, to=devices)
        self._tell(room, {"id": message_id, "over": False, "from": room.ai_id})

    def forsake_all(self) -> None:
        """End all answers: this node was away for so long that the others have taken them back."""
        self.break_off_all(_WAS_AWAY)

    def _message_heard(self, room: Room, seq: int, type: str, message_id: str) -> None:
        """Make way for a whole answer that another node saved under the id of one that is written here."""
        if type == MessageType.AI_RESPONSE:
            self.silence(room, message_id)

    def _catch_up(self, connection: Connection) -> None:
        super()._catch_up(connection)
        self._heard.catch_up(connection)

    def _tell_all(self) -> None:
        """Make good what was lost with the backplane."""
        for room in self._open:
            self._tell_all_of(room)

    def _tell_all_of(self, room: Room) -> None:
        for stream in self._open.get(room, {}).values():
            piece = stream.shown()
            if piece is not None:
                self._tell_piece(stream, piece)

    def _tell_piece(self, stream: Stream, piece: Piece) -> None:
        room = stream.room
        facts = {
            "id": stream.message_id,
            "from": room.ai_id,
            "text": piece.text,
            "index": piece.index,
            "offset": piece.offset,
        }
        self._tell(room, facts)

    def _tell(self, room: Room, facts: dict[str, Any]) -> None:
        channel = conversation_channel(room.conversation_id)
        self._switchboard.publish(channel, Kind.CHUNK, facts_head(facts))
