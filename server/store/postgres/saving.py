"""Saves drafts in one transaction: all at once where each is new, the slow way where one is not."""

from collections.abc import Iterable
from typing import Final

import asyncpg

from server.core.model import (
    CANNOT_BE_STORED,
    CONVERSATION_GONE,
    Draft,
    Outcome,
    StoredMessage,
    all_saved,
    settle_resend,
)
from server.protocol import MessageType
from server.store.hashes import hash_of
from server.store.postgres import sql
from server.store.postgres.faults import is_collision, is_of_a_row
from server.store.postgres.link import Connection
from server.store.postgres.positions import Turn, await_no_longer, move_answered

Name = tuple[int, str]  # a conversation's key and a message_id
Found = dict[Name, StoredMessage]

_TRIES: Final = 3  # of what other sessions were in the way of
_AI: Final = MessageType.AI_RESPONSE
_GONE: Final = Outcome.refused(CONVERSATION_GONE)
_BAD: Final = Outcome.refused(CANNOT_BE_STORED)
_ANSWERED_BEFORE: Final = Outcome.duplicate(0)
_MARK_UNDELIVERED: Final = """
INSERT INTO undelivered (conversation, seq) SELECT * FROM unnest($1::bigint[], $2::bigint[])"""


async def save(connection: Connection, drafts: list[Draft], owes_answers: bool) -> list[Outcome]:
    """Commits the drafts; an outcome for each. Raises what the connection does: see faults."""
    if any(draft.answers is not None or draft.undelivered for draft in drafts):
        return await _save_some(connection, drafts, owes_answers)
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            return await _save_new(connection, drafts, owes_answers)
        except asyncpg.PostgresError as fault:
            if is_of_a_row(fault):
                break
            if last or not is_collision(fault):
                raise
    return await _save_some(connection, drafts, owes_answers)


async def find(connection: Connection, drafts: list[Draft]) -> Found:
    """Finds those of which the ids are stored."""
    rows = await connection.fetch(
        sql.FIND_MESSAGES,
        [draft.conversation_key for draft in drafts],
        [hash_of(draft.message_id) for draft in drafts],
        [draft.message_id for draft in drafts],
    )
    return {(row[0], row[2]): sql.message_of(row[1:]) for row in rows}


async def _save_new(connection: Connection, drafts: list[Draft], owes_answers: bool) -> list[Outcome]:
    """The common case, in one round trip: a unique index fails the batch where one is there already."""
    counts: dict[int, int] = {}
    ai_counts: dict[int, int] = {}
    places, ai_places = [], []
    first_chats: dict[int, tuple[int, int]] = {}  # place and stamp, by key
    for draft in drafts:
        key = draft.conversation_key
        counts[key] = place = counts.get(key, 0) + 1
        places.append(place)
        if draft.type is _AI:
            ai_counts[key] = ai_counts.get(key, 0) + 1
        elif owes_answers:
            first_chats.setdefault(key, (place, draft.created_at))
        ai_places.append(ai_counts.get(key, 0))
    heads = sorted(counts)
    values = [
        heads,
        [counts[key] for key in heads],
        [ai_counts.get(key, 0) for key in heads],
        [draft.conversation_key for draft in drafts],
        places,
        ai_places,
        *_columns(drafts),
        len(drafts),
    ]
    if first_chats:
        starts = first_chats.values()
        values += [list(first_chats), [place for place, _ in starts], [since for _, since in starts]]
    base = dict(await connection.fetch(sql.SAVE_OWING if first_chats else sql.SAVE, *values))
    numbered = zip(drafts, places, strict=True)
    if len(base) == len(heads):
        return all_saved(base[draft.conversation_key] + place for draft, place in numbered)
    return [
        Outcome.saved(base[draft.conversation_key] + place) if draft.conversation_key in base else _GONE
        for draft, place in numbered
    ]


def _columns(drafts: list[Draft]) -> list[list[object]]:
    return [
        [draft.message_id for draft in drafts],
        [draft.type for draft in drafts],
        [draft.sender for draft in drafts],
        [draft.data for draft in drafts],
        [draft.created_at for draft in drafts],
        [draft.client_timestamp for draft in drafts],
        [draft.finish for draft in drafts],
        [hash_of(draft.message_id) for draft in drafts],
    ]


async def _save_some(connection: Connection, drafts: list[Draft], owes_answers: bool) -> list[Outcome]:
    """The slow way: what is there is looked up behind the locks, and bad drafts harm no other."""
    async with connection.transaction():
        keys = sorted({draft.conversation_key for draft in drafts})
        alive = {row[0] for row in await connection.fetch(sql.LOCK_HEADS, keys)}
        answered = dict(await connection.fetch(sql.ANSWERED, keys))
        stored = await find(connection, drafts)
        awaited = await await_no_longer(connection, _late(drafts, answered, stored))
        outcomes, fresh = _sort(drafts, alive, answered, stored, awaited)
        if fresh:
            saved = await _save_new(connection, fresh, owes_answers)
            outcomes |= dict(zip(fresh, saved, strict=True))
        stored |= {_name(draft): StoredMessage.of(draft, outcomes[draft].seq) for draft in fresh}
        for draft in drafts:
            if draft not in outcomes:
                outcomes[draft] = settle_resend(draft, stored[_name(draft)])
        await _do_duties(connection, outcomes, fresh)
        return [outcomes[draft] for draft in drafts]


def _late(drafts: list[Draft], answered: dict[int, int], stored: Found) -> set[Turn]:
    """Finds the turns that count as answered already, and would get their answer now."""
    return {
        (draft.conversation_key, draft.answers)
        for draft in drafts
        if draft.answers is not None
        and draft.answers <= answered.get(draft.conversation_key, 0)
        and _name(draft) not in stored
        and _is_storable(draft.data)
    }


def _sort(
    drafts: list[Draft], alive: set[int], answered: dict[int, int], stored: Found, awaited: set[Turn]
) -> tuple[dict[Draft, Outcome], list[Draft]]:
    """Returns those that are refused, and those to be saved; the others are resends of these or of `stored`.

    `answered`: seqs by conversation key; it moves on with the drafts. `awaited`: the late answers to these
    turns are saved, one each.
    """
    outcomes: dict[Draft, Outcome] = {}
    fresh: dict[Name, Draft] = {}
    for draft in drafts:
        key, name = draft.conversation_key, _name(draft)
        if key not in alive:
            outcomes[draft] = _GONE
        elif name in stored or name in fresh:
            continue
        elif not _is_storable(draft.data):
            outcomes[draft] = _BAD
        elif draft.answers is None:
            fresh[name] = draft
        elif draft.answers > answered.get(key, 0):
            answered[key] = draft.answers
            fresh[name] = draft
        elif (key, draft.answers) in awaited:
            awaited.remove((key, draft.answers))
            fresh[name] = draft
        else:
            outcomes[draft] = _ANSWERED_BEFORE
    return outcomes, list(fresh.values())


async def _do_duties(connection: Connection, outcomes: dict[Draft, Outcome], fresh: Iterable[Draft]) -> None:
    """Does what belongs to the commit of these drafts; an answer that is stored has answered its turn."""
    answered: dict[int, int] = {}
    for draft, outcome in outcomes.items():
        if draft.answers is not None and outcome.seq:
            key = draft.conversation_key
            answered[key] = max(answered.get(key, 0), draft.answers)
    if answered:
        await move_answered(connection, answered)
    if unseen := [draft for draft in fresh if draft.undelivered]:
        keys = [draft.conversation_key for draft in unseen]
        await connection.execute(_MARK_UNDELIVERED, keys, [outcomes[draft].seq for draft in unseen])


def _is_storable(text: str) -> bool:
    """Tells whether PostgreSQL takes it: neither half of a surrogate pair nor a NUL."""
    try:
        return b"\0" not in text.encode()
    except UnicodeError:
        return False


def _name(draft: Draft) -> Name:
    return draft.conversation_key, draft.message_id
