"""The answers that are being written, put together from their pieces."""

from typing import Any, Final

from chatctl.client.events import Chunk, Frame, Misplaced

_REMEMBERED: Final = 100  # finished answers whose late pieces are known as such


def grown(so_far: str, text: str, offset: int) -> str | None:
    """Adds the piece `text`, before which `offset` code points stand, to what there is of an answer.

    Returns None where it leaves a hole, contradicts what is there or has nothing new.
    """
    if offset == 0 and not so_far.startswith(text):
        return text  # all of it, or a new start
    known = so_far[offset:]
    if offset > len(so_far) or text == known or not text.startswith(known):
        return None
    return so_far + text[len(known) :]


class Streams:
    """The texts so far, by message_id. None outlives the connection that brought it."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._finished: dict[str, None] = {}  # in the order of their ends

    def piece(self, frame: Frame) -> list[Chunk | Misplaced]:
        """Takes an AI_RESPONSE_CHUNK. Raises KeyError or TypeError for what is none."""
        message_id, data = frame["message_id"], frame["data"]
        if data.get("aborted") is True:
            return self._abort(message_id, frame)
        text = data["text"]
        so_far = self._texts.get(message_id, "")
        offset = _position(data.get("offset", len(so_far)))
        is_late = message_id in self._finished
        events: list[Chunk | Misplaced] = []
        if is_late or offset != len(so_far):
            events.append(Misplaced(message_id, frame))
        whole = None if is_late else grown(so_far, text, offset)
        if whole is not None:
            self._texts[message_id] = whole
            news = whole.removeprefix(so_far)
            events.append(Chunk(message_id, news, whole, aborted=False, frame=frame))
        return events

    def finish(self, message_id: str) -> None:
        """The whole answer is saved: what still comes of its stream is late."""
        self._texts.pop(message_id, None)
        self._finished[message_id] = None
        if len(self._finished) > _REMEMBERED:
            del self._finished[next(iter(self._finished))]

    def forget(self, log_replaced: bool) -> None:
        """Begins a connection; another log may give out the old names anew."""
        self._texts.clear()
        if log_replaced:
            self._finished.clear()

    def _abort(self, message_id: str, frame: Frame) -> list[Chunk | Misplaced]:
        if message_id in self._finished:
            return []
        so_far = self._texts.pop(message_id, "")
        return [Chunk(message_id, "", so_far, aborted=True, frame=frame)]


def _position(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise TypeError("offset is no position")
    return value
