"""The REST history of a conversation."""

import asyncio
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import httpx2

from chatctl.client.errors import HistoryUnavailable
from chatctl.client.events import Frame
from chatctl.client.network import http_options

_ATTEMPTS: Final = 4
_FIRST_PAUSE: Final = 0.5  # seconds; doubled after each attempt
_LONGEST_PAUSE: Final = 10.0


class History:
    """Pages of saved messages, as broadcast frames in ascending order of seq.

    `headers` is asked before each request, since a token may be renewed.
    """

    def __init__(self, origin: str, headers: Callable[[], dict[str, str]], proxy: str | None) -> None:
        self._origin = _http_origin(origin)
        self._proxy = proxy
        self._headers = headers
        self._http: httpx2.AsyncClient | None = None  # made when needed: it loads certificates

    async def page(
        self, conversation_id: str, *, after_seq: int | None = None, before_seq: int | None = None, limit: int
    ) -> list[Frame]:
        """The page directly above `after_seq`, directly below `before_seq`, or the newest.

        Tries again where that may help. Raises HistoryUnavailable.
        """
        bounds = {"after_seq": after_seq, "before_seq": before_seq, "limit": limit}
        query = {key: value for key, value in bounds.items() if value is not None}
        path = f"/api/conversations/{quote(conversation_id, safe='')}/messages"
        pause = _FIRST_PAUSE
        for _ in range(_ATTEMPTS - 1):
            answer = await self._get(path, query)
            if not _may_pass(answer):
                return _items(answer)
            await asyncio.sleep(max(pause, _retry_after(answer)))
            pause *= 2
        return _items(await self._get(path, query))

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def _get(self, path: str, query: dict[str, int]) -> httpx2.Response | httpx2.HTTPError:
        if self._http is None:
            self._http = httpx2.AsyncClient(**http_options(self._origin, proxy=self._proxy))
        try:
            return await self._http.get(path, params=query, headers=self._headers())
        except httpx2.HTTPError as error:
            return error


def _http_origin(origin: str) -> str:
    return "http" + origin.removeprefix("ws") if origin.startswith("ws") else origin


def _may_pass(answer: httpx2.Response | httpx2.HTTPError) -> bool:
    if isinstance(answer, httpx2.Response):
        return answer.status_code == 429 or answer.status_code >= 500
    return True


def _retry_after(answer: httpx2.Response | httpx2.HTTPError) -> float:
    told = answer.headers.get("Retry-After", "") if isinstance(answer, httpx2.Response) else ""
    return min(float(told), _LONGEST_PAUSE) if told.isdigit() else 0.0


def _items(answer: httpx2.Response | httpx2.HTTPError) -> list[Frame]:
    if not isinstance(answer, httpx2.Response):
        raise HistoryUnavailable(f"the history cannot be read: {answer or type(answer).__name__}")
    try:
        body = answer.json()
        if answer.is_success:
            items: list[Frame] = body["items"]
            return items
        text, code = str(body["data"]), str(body["error"]["code"])
    except (ValueError, KeyError, TypeError):
        text, code = f"HTTP status {answer.status_code}", None
    raise HistoryUnavailable(f"the history cannot be read: {text}", answer.status_code, code)
