"""What an operator wants to know of the service, whether or not nodes use it."""

import time
from statistics import median
from typing import Any, Final, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from server.backplane.redis.address import parse_address
from server.ports import BackplaneUnavailable

_SECONDS: Final = 3.0  # for each answer
_ROUND_TRIPS: Final = 9


class Examination(NamedTuple):
    """What `examine` found.

    `server`: name and version; `version`: that of Redis whose commands it knows. `settings`: those that
    were asked for; none where the service does not tell them.
    """

    server: str
    version: tuple[int, ...]
    round_trip_ms: float
    is_replica: bool
    is_cluster: bool
    settings: dict[str, str]


async def examine(url: str, settings: tuple[str, ...]) -> Examination:
    """Looks at the service and at those of its settings. Raises BackplaneUnavailable."""
    parse_address(url)
    client = Redis.from_url(
        url,
        socket_timeout=_SECONDS,
        socket_connect_timeout=_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    try:
        return await _examine(client, settings)
    except (RedisError, OSError, TimeoutError) as fault:
        raise BackplaneUnavailable(str(fault) or "no answer") from None
    finally:
        await client.aclose()


async def _examine(client: Redis, settings: tuple[str, ...]) -> Examination:
    info: dict[str, Any] = await client.info()
    is_valkey = "valkey_version" in info
    return Examination(
        server=f"Valkey {info['valkey_version']}" if is_valkey else f"Redis {info['redis_version']}",
        version=tuple(int(part) for part in str(info["redis_version"]).split(".") if part.isdigit()),
        round_trip_ms=await _round_trip_ms(client),
        is_replica=info["role"] != "master",
        is_cluster=bool(info.get("cluster_enabled")),
        settings=await _read_settings(client, settings),
    )


async def _round_trip_ms(client: Redis) -> float:
    taken = []
    for _ in range(_ROUND_TRIPS):
        began = time.perf_counter()
        await client.ping()
        taken.append((time.perf_counter() - began) * 1000)
    return median(taken)


async def _read_settings(client: Redis, names: tuple[str, ...]) -> dict[str, str]:
    try:
        return {str(name): str(value) for name, value in (await client.config_get(*names)).items()}
    except ResponseError:  # CONFIG is often forbidden where the service is hired
        return {}
