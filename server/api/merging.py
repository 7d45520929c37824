"""Makes one body of several processes' bodies: of GET /stats, of its lists, of /health. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from server.api.health import Health, HealthStatus
from server.api.stats import ListName
from server.core.latency import merged as merged_latencies
from server.core.latency import summarize_durations

# What can be worse: all but "ok" mean that no work should be given.
_WORST_FIRST: Final = ("draining", "unavailable", "ok")
_BREAKERS_WORST_FIRST: Final = ("open", "half_open", "closed")


def worst(statuses: Iterable[HealthStatus]) -> HealthStatus:
    """Pick the one that says the most against giving work."""
    return min(statuses, key=_WORST_FIRST.index)


def merge_health(own: Health, others: Sequence[Health | None]) -> Health:
    """Take the worst of each; None is a worker that did not answer."""
    answers = [own, *(other for other in others if other is not None)]
    all_there = len(answers) == len(others) + 1
    checks = {
        name: "ok" if all(answer.checks.get(name) == "ok" for answer in answers) else "unavailable"
        for name in own.checks
    }
    checks["workers"] = "ok" if all_there else "unavailable"
    statuses = [answer.status for answer in answers]
    return Health.model_validate(
        {
            "status": worst(statuses if all_there else [*statuses, "unavailable"]),
            "checks": checks,
            "version": own.version,
            "uptime_seconds": max(answer.uptime_seconds for answer in answers),
        }
    )


def merge_stats(parts: Sequence[Mapping[str, Any]], *, all_there: bool) -> dict[str, Any]:
    """Merge the `Stats.parts` of several processes, the first being the one that was asked.

    Numbers are added up, but for those that are the same seen from each process, or are a time or a share.
    """
    result: dict[str, Any] = _added([part["document"] for part in parts])
    for path, choose in _CHOICES.items():
        section, _, key = path.partition(".")
        found = [part["document"][section] for part in parts]
        if key:
            result[section][key] = choose([each[key] for each in found])
        else:
            result[section] = choose(found)
    if not all_there:
        result["server"]["status"] = worst([result["server"]["status"], "unavailable"])
    result["connections"] |= {
        "users": len({user for part in parts for user in part["users"]}),
        "conversations": len({room for part in parts for room in part["conversations"]}),
        "duration_seconds": summarize_durations(each for part in parts for each in part["durations"]),
    }
    result["latency_ms"] = {
        name: merged_latencies(part["latencies"][name] for part in parts).summary()
        for name in parts[0]["latencies"]
    }
    batches = sum(part["batches"] for part in parts)
    mean = round(sum(part["batched"] for part in parts) / batches, 2) if batches else 0.0
    result["store"]["batch_size"]["mean"] = mean
    return result


def _first(values: Sequence[Any]) -> Any:
    return values[0]


def _widest(sizes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"max": max(size["max"] for size in sizes)}


_CHOICES: Final[Mapping[str, Callable[[Sequence[Any]], Any]]] = {
    "server.status": worst,
    "server.started_at": min,
    "server.uptime_seconds": max,
    "server.pid": _first,
    "store.batch_size": _widest,
    "backplane": _first,
    # What is owed stands in the store, so that each process sees all of it.
    "ai.turns_waiting": max,
    "ai.oldest_unanswered_seconds": max,
    "ai.dead_letters": max,
    "ai.breaker": lambda states: min(states, key=_BREAKERS_WORST_FIRST.index),
    "ai.paused": any,
    "process.event_loop_lag_ms": max,
}
"""How values by `section.key`, or whole sections, are chosen from those of all processes."""


def _added(values: Sequence[Any]) -> Any:
    """Add up the numbers in tables of the same shape; take what is none from the first."""
    first = values[0]
    if isinstance(first, Mapping):
        keys = dict.fromkeys(key for value in values for key in value)
        return {key: _added([value[key] for value in values if key in value]) for key in keys}
    is_number = isinstance(first, int | float) and not isinstance(first, bool)
    return round(sum(values), 3) if is_number else first


def merge_lists(name: ListName, lists: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """Merge the bodies of GET /stats/{name} of several processes."""
    rows = [row for each in lists for row in each["items"]]
    if name == "conversations":
        rows = _by_conversation(rows)
    elif name != "connections":
        rows.sort(key=lambda row: row["at"], reverse=True)
    has_more = len(rows) > limit or any(each["has_more"] for each in lists)
    return {"items": rows[:limit], "has_more": has_more}


def _by_conversation(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give each conversation one row: its devices are those of all processes."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        known = found.setdefault(row["conversation_id"], row)
        if known is not row:
            known["devices"] += row["devices"]
            for key in ("messages", "last_seq", "last_activity"):
                known[key] = max(known[key], row[key])
    return list(found.values())
