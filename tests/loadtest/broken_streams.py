"""The real server, whose streams are broken on purpose in one way for each conversation: run it as a program.

Conversation number N (ids end with it) is broken as BREAKAGES[N % len(BREAKAGES)] says.
"""

import sys
from typing import Final

from chatctl.__main__ import main
from server.core.stream_text import Piece
from server.protocol import Finish
from server.runtime.answers.streams import Stream, Streams
from server.runtime.rooms.room import Room

BREAKAGES: Final = ("none", "drops", "doubles", "reorders", "saves another text", "ignores cancels")

_show, _save, _cancel = Streams.show, Streams._save, Streams.cancel
_seen: dict[Stream, int] = {}
_held: dict[Stream, Piece] = {}


def breakage(room: Room) -> str:
    return BREAKAGES[int(room.conversation_id.rpartition("-")[2]) % len(BREAKAGES)]


def show(self: Streams, stream: Stream, piece: Piece) -> None:
    """The third piece of each answer is the one that goes wrong."""
    number = _seen[stream] = _seen.get(stream, 0) + 1
    how = breakage(stream.room)
    if how == "drops" and number == 3:
        return
    if how == "reorders" and number == 3:
        _held[stream] = piece
        return
    _show(self, stream, piece)
    if how == "doubles" and number == 3:
        _show(self, stream, piece)
    if (held := _held.pop(stream, None)) is not None:
        _show(self, stream, held)


async def save(self: Streams, stream: Stream, finish: Finish | None) -> None:
    if breakage(stream.room) == "saves another text":
        stream._text._shown[-1] = stream._text._shown[-1][:-1] + "!"
    await _save(self, stream, finish)


def cancel(self: Streams, room: Room, message_id: str | None) -> bool:
    return True if breakage(room) == "ignores cancels" else _cancel(self, room, message_id)


if __name__ == "__main__":
    Streams.show, Streams._save, Streams.cancel = show, save, cancel  # type: ignore[method-assign]
    sys.exit(main())
