"""Answers that other nodes write, as the devices here see them."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from server.core.envelope import Envelope, Kind, facts_head
from server.core.stream_text import ChunkFrame, HeardText, Piece
from server.ports import MessageStore, StoreUnavailable
from server.protocol import MessageType, answered_seq_of
from server.runtime.answers.streams import ABORTED
from server.runtime.base.background import Background
from server.runtime.base.timers import Timers
from server.runtime.nodes.channels import RoomChannels
from server.runtime.nodes.fan_out import NodeFanOut
from server.runtime.nodes.members import Members
from server.runtime.nodes.switchboard import Switchboard, conversation_channel, conversation_of
from server.runtime.rooms.manager import ConnectionManager
from server.runtime.rooms.replies import Replies
from server.runtime.rooms.room import Connection, Room

_ANSWER: Final = 1.0  # seconds in which a node that still writes says so
_QUIET: Final = 30.0  # seconds without a piece after which a writer is asked whether it still writes
_RETRY: Final = 1.0  # seconds until a database that did not answer is asked again
_ASKED_AGAIN: Final = 0.2  # seconds between two questions in one conversation
_MAX_REMEMBERED: Final = 10_000  # ids; beyond, the oldest is forgotten

_Key = tuple[str, str]  # conversation and message_id
_Lasting = tuple[int, str]  # likewise, by its key: one that was deleted and made anew is another one


@dataclass(slots=True)
class _Heard:
    """`origin`: the node that writes it. `signs`: how often it was heard of."""

    origin: str
    sender: str
    text: HeardText = field(default_factory=HeardText)
    signs: int = 0


class HeardStreams:
    """Each is shown until its end; where its writer is gone, it is settled by what the store has."""

    def __init__(
        self,
        manager: ConnectionManager,
        replies: Replies,
        fan_out: NodeFanOut,
        store: MessageStore,
        background: Background,
        switchboard: Switchboard,
        channels: RoomChannels,
        members: Members,
    ) -> None:
        self._manager = manager
        self._replies = replies
        self._fan_out = fan_out
        self._store = store
        self._background = background
        self._switchboard = switchboard
        self._members = members
        self._heard: dict[str, dict[str, _Heard]] = {}  # by conversation and message_id
        self._quiet: Timers[_Key] = Timers(self._doubt)
        self._gone: set[str] = set()  # nodes, until they are heard of
        self._asked: dict[str, float] = {}  # when, by conversation
        self._asking: Timers[str] = Timers(self._ask_now)
        self._taken_back: OrderedDict[_Lasting, None] = OrderedDict()
        self._finished: OrderedDict[_Lasting, None] = OrderedDict()
        self._is_written_here: Callable[[Room, str], bool] = lambda room, message_id: False
        self._on_asked: Callable[[Room], None] = lambda room: None
        switchboard.on(Kind.CHUNK, self._take)
        switchboard.on(Kind.STREAMS, self._be_asked)
        switchboard.when_back(self._doubt_all)
        channels.when_heard(self._ask)
        channels.when_unheard(self._forget_conversation)
        members.when_gone(self._doubt_node)
        fan_out.when_heard(self._saved)
        fan_out.when_said(self._saved)

    def when_asked(self, tell: Callable[[Room], None]) -> None:
        """From now on `tell` is called with each room of whose streams another node wants to know."""
        self._on_asked = tell

    def when_written_here(self, is_written: Callable[[Room, str], bool]) -> None:
        """From now on `is_written` tells whether an answer of that id is written here, and shown as such."""
        self._is_written_here = is_written

    def answered(self, room: Room) -> list[int]:
        """List the turns, by their last seqs, that other nodes have shown a part of an answer to."""
        shown = self._heard.get(room.conversation_id, {})
        return [seq for message_id in shown if (seq := answered_seq_of(message_id)) is not None]

    def is_answered(self, room: Room, seq: int) -> bool:
        """Tell whether another node is writing the answer to the turn that ends with `seq`.

        What a node that is gone has shown of one is taken back.
        """
        heard = self._heard.get(room.conversation_id, {})
        for message_id, each in list(heard.items()):
            if answered_seq_of(message_id) == seq:
                if not self._is_gone(each.origin):
                    return True
                self._take_back(room, message_id, each)
        return False

    def is_written(self, room: Room, message_id: str) -> bool:
        """Tell whether another node that is alive writes an answer under that id."""
        heard = self._heard.get(room.conversation_id, {}).get(message_id)
        return heard is not None and not self._is_gone(heard.origin)

    def was_taken_back(self, room: Room, message_id: str) -> bool:
        """Tell whether devices here were shown text under that id that was taken back."""
        return _lasting(room, message_id) in self._taken_back

    def catch_up(self, connection: Connection) -> None:
        """Give a device that goes live all that was heard of each answer; later pieces follow on it."""
        for message_id, heard in self._heard.get(connection.room.conversation_id, {}).items():
            piece = heard.text.whole()
            if piece is not None and not self._is_written_here(connection.room, message_id):
                connection.offer(self._frame(connection.room, message_id, heard, piece))

    def reveal(self, room: Room, message_id: str) -> None:
        """Show what was heard while an answer under the same id was written here."""
        heard = self._heard.get(room.conversation_id, {}).get(message_id)
        piece = None if heard is None else heard.text.whole()
        if heard is not None and piece is not None:
            self._fan_out.offer(room.watching, self._frame(room, message_id, heard, piece))

    # ---- what comes -------------------------------------------------------------------------------

    def _take(self, channel: str, envelope: Envelope) -> None:
        room = self._manager.room(conversation_of(channel))
        if room is None:
            return
        facts = envelope.facts
        if _lasting(room, facts["id"]) in self._finished:
            return
        if "over" in facts:
            self._end(room, envelope.origin, facts)
        else:
            piece = Piece(facts["text"], facts["index"], facts["offset"])
            self._take_piece(room, envelope.origin, facts["id"], facts["from"], piece)

    def _take_piece(self, room: Room, origin: str, message_id: str, sender: str, piece: Piece) -> None:
        conversation_id = room.conversation_id
        heard = self._heard.setdefault(conversation_id, {}).setdefault(message_id, _Heard(origin, sender))
        if heard.origin != origin:
            return  # the first one is shown, until it ends
        heard.signs += 1
        self._gone.discard(origin)
        self._quiet.set((conversation_id, message_id), time.monotonic() + _QUIET)
        if heard.text.misses(piece):
            self._ask(room)
        elif (news := heard.text.add(piece)) and not self._is_written_here(room, message_id):
            self._fan_out.offer(room.watching, self._frame(room, message_id, heard, news))

    def _end(self, room: Room, origin: str, facts: dict[str, Any]) -> None:
        message_id = facts["id"]
        heard = self._heard.get(room.conversation_id, {}).get(message_id)
        if heard is not None and heard.origin != origin:
            return
        self._forget(room.conversation_id, message_id)
        if not facts["over"]:
            self._tell_aborted(room, message_id, facts["from"])

    def _saved(self, room: Room, seq: int, type: str, message_id: str) -> None:
        """Its whole is there: what is still said of its pieces comes late."""
        if type == MessageType.AI_RESPONSE:
            self._forget(room.conversation_id, message_id)
            _remember(self._finished, _lasting(room, message_id))

    def _be_asked(self, channel: str, envelope: Envelope) -> None:
        room = self._manager.room(conversation_of(channel))
        if room is not None:
            self._on_asked(room)

    # ---- what may be lost -------------------------------------------------------------------------

    def _ask(self, room: Room) -> None:
        """Have those who write in the room tell all that they have shown."""
        conversation_id = room.conversation_id
        if conversation_id not in self._asking:
            since = time.monotonic() - self._asked.get(conversation_id, 0.0)
            self._asking.set(conversation_id, time.monotonic() + max(0.0, _ASKED_AGAIN - since))

    def _ask_now(self, conversation_id: str) -> None:
        if self._manager.room(conversation_id) is not None:
            self._asked[conversation_id] = time.monotonic()
            self._switchboard.publish(conversation_channel(conversation_id), Kind.STREAMS, facts_head({}))

    def _doubt_node(self, node_id: str) -> None:
        self._gone.add(node_id)
        self._doubt_some(lambda heard: heard.origin == node_id)

    def _is_gone(self, node_id: str) -> bool:
        return node_id in self._gone or not self._members.is_alive(node_id)

    def _doubt_all(self) -> None:
        self._doubt_some(lambda heard: True)

    def _doubt_some(self, is_doubted: Callable[[_Heard], bool]) -> None:
        for conversation_id, heard in self._heard.items():
            for message_id, each in heard.items():
                if is_doubted(each):
                    self._doubt((conversation_id, message_id))

    def _doubt(self, key: _Key) -> None:
        self._background.run(self._settle(*key), "settle-stream")

    async def _settle(self, conversation_id: str, message_id: str) -> None:
        """Ask whether it is still written; if it is not, it is saved, or it is taken back."""
        heard = self._heard.get(conversation_id, {}).get(message_id)
        room = self._manager.room(conversation_id)
        if heard is None or room is None:
            self._forget(conversation_id, message_id)
            return
        signs = heard.signs
        if not self._is_gone(heard.origin):
            self._ask(room)
            await asyncio.sleep(_ANSWER)
        found = None
        while room.conversation is not None and not room.is_deleted:
            try:
                found = await self._store.find_message(room.key, message_id)
                break
            except StoreUnavailable:
                await asyncio.sleep(_RETRY)
        if heard.signs != signs or self._heard.get(conversation_id, {}).get(message_id) is not heard:
            return
        if found is not None:
            self._forget(conversation_id, message_id)
            self._fan_out.found(room, found.seq)
        else:
            self._take_back(room, message_id, heard)

    def _take_back(self, room: Room, message_id: str, heard: _Heard) -> None:
        self._forget(room.conversation_id, message_id)
        if heard.text.whole() is not None:
            self._tell_aborted(room, message_id, heard.sender)

    def _tell_aborted(self, room: Room, message_id: str, sender: str) -> None:
        _remember(self._taken_back, _lasting(room, message_id))
        if not self._is_written_here(room, message_id):
            chunk, devices = MessageType.AI_RESPONSE_CHUNK, room.connections
            self._fan_out.signal(room, chunk, ABORTED, sender, message_id=message_id, to=devices)

    def _forget(self, conversation_id: str, message_id: str) -> None:
        heard = self._heard.get(conversation_id, {})
        if heard.pop(message_id, None) is not None:
            self._quiet.drop((conversation_id, message_id))
        if not heard:
            self._heard.pop(conversation_id, None)

    def _forget_conversation(self, conversation_id: str) -> None:
        self._asked.pop(conversation_id, None)
        for message_id in list(self._heard.get(conversation_id, ())):
            self._forget(conversation_id, message_id)

    def _frame(self, room: Room, message_id: str, heard: _Heard, piece: Piece) -> ChunkFrame:
        stamp = self._replies.stamp()
        return ChunkFrame.of(room.conversation_id, message_id, heard.sender, stamp, piece)


def _lasting(room: Room, message_id: str) -> _Lasting:
    return (0 if room.conversation is None else room.key, message_id)


def _remember(ids: OrderedDict[_Lasting, None], key: _Lasting) -> None:
    ids[key] = None
    if len(ids) > _MAX_REMEMBERED:
        ids.popitem(last=False)
