"""Bodies of lists, encoded in steps: a long one does not hold up the event loop."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

from fastapi.responses import Response

from server.runtime.base.batches import in_batches

T = TypeVar("T")


async def list_answer(items: Iterable[T], encode: Callable[[T], bytes], has_more: bool) -> Response:
    """Return `{"items":[...],"has_more":...}`, each item as `encode` makes it.

    Between the steps everybody else has a turn of the loop. A thread would not do: whoever encodes keeps the
    interpreter from the loop.
    """
    parts: list[bytes] = []
    for step in in_batches(items):
        parts.extend(map(encode, step))
        await asyncio.sleep(0)
    end = b'],"has_more":true}' if has_more else b'],"has_more":false}'
    return Response(b'{"items":[' + b",".join(parts) + end, media_type="application/json")
