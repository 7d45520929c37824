"""What a device that comes back has missed: replayed, or named as a gap."""

from typing import NamedTuple

from server.protocol import Gap


class Replay(NamedTuple):
    """After which seq the replay begins (equal to the newest: there is none), and what is left out."""

    after: int
    gap: Gap | None


def plan_replay(
    newest: int, epoch: str, last_seq: int | None, known_epoch: str | None, max_messages: int
) -> Replay:
    """`newest` and `epoch` are the conversation's; `last_seq` and `known_epoch` what the device brought."""
    if last_seq is None:
        return Replay(newest, None)
    if (known_epoch is not None and known_epoch != epoch) or last_seq > newest:
        return Replay(newest, _gap(1, newest))  # the log was replaced: all of it is news
    if newest - last_seq > max_messages:
        return Replay(newest, _gap(last_seq + 1, newest))
    return Replay(last_seq, None)


def _gap(first: int, last: int) -> Gap | None:
    return Gap(first=first, last=last) if first <= last else None
