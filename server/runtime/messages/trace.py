"""What became of the last messages: for whoever asks about one of them."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from server.core.model import Draft, Outcome
from server.core.timestamps import rfc3339
from server.runtime.base.clock import now_ms

# At which time, in ms since the epoch; a plain tuple, since each commit makes one.
_Commit = tuple[int, Sequence[Draft], Sequence[Outcome]]


class _HandOver(NamedTuple):
    at: int
    conversation_key: int
    first_seq: int
    last_seq: int


class MessageTrace:
    """Keeps whole commits as they are, so that a message costs nothing here until somebody asks."""

    def __init__(self, kept: int) -> None:
        self._kept = kept  # messages
        self._count = 0
        self._commits: deque[_Commit] = deque()
        self._hand_overs: deque[_HandOver] = deque(maxlen=max(kept, 1))

    def committed(self, drafts: Sequence[Draft], outcomes: Sequence[Outcome]) -> None:
        """One transaction is over, its messages are broadcast and answered."""
        commits = self._commits
        commits.append((now_ms(), drafts, outcomes))
        self._count += len(drafts)
        while commits and self._count > self._kept:
            self._count -= len(commits.popleft()[1])

    def handed_over(self, conversation_key: int, first_seq: int, last_seq: int) -> None:
        """The responder took these messages."""
        self._hand_overs.append(_HandOver(now_ms(), conversation_key, first_seq, last_seq))

    def of(self, conversation_key: int, message_id: str, seq: int) -> list[dict[str, Any]]:
        """`{"at","event",...}`, the oldest first; empty where nothing is kept of the message."""
        events = [*self._saved(conversation_key, message_id), *self._taken(conversation_key, seq)]
        return [{"at": rfc3339(at), **event} for at, event in sorted(events, key=lambda event: event[0])]

    def _saved(self, key: int, message_id: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for at, drafts, outcomes in self._commits:
            for draft, outcome in zip(drafts, outcomes, strict=True):
                if draft.message_id == message_id and draft.conversation_key == key:
                    yield from _events(draft, outcome, at)

    def _taken(self, key: int, seq: int) -> Iterator[tuple[int, dict[str, Any]]]:
        for taken in self._hand_overs:
            if taken.conversation_key == key and taken.first_seq <= seq <= taken.last_seq:
                yield taken.at, {"event": "handed_over"}


def _events(draft: Draft, outcome: Outcome, at: int) -> Iterator[tuple[int, dict[str, Any]]]:
    yield draft.created_at, {"event": "received", "sender": draft.sender}
    if outcome.refusal is not None:
        return
    if not outcome.is_new:
        yield at, {"event": "acked", "duplicate": True}
        return
    yield at, {"event": "saved", "seq": outcome.seq}
    yield at, {"event": "broadcast"}
    yield at, {"event": "acked"}
