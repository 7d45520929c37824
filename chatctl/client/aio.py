"""The client for asyncio programs, on the `websockets` library:

    async with ChatClient("http://127.0.0.1:8000", "user123", "conv_user123_ai_alex") as chat:
        delivered = await chat.send("Hi!")
        async for event in chat:
            match event:
                case Message(frame=frame):
                    print(frame["sender"], frame["data"])

It connects again by itself, as the protocol's sections 7 and 8 say, and brings what was missed: each
saved message comes out as one `Message` event, in the order of seq, own ones too.
"""

import asyncio
import inspect
import logging
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from chatctl.client.backoff import Backoff
from chatctl.client.catching_up import CatchingUp
from chatctl.client.errors import MessageFailed, SessionEnded, error_of
from chatctl.client.events import (
    Delivered,
    Ended,
    Event,
    Failed,
    Frame,
    Message,
    Missing,
    Reconnecting,
    Stale,
    State,
    Unreadable,
    Welcomed,
)
from chatctl.client.history import History
from chatctl.client.network import proxy_for
from chatctl.client.outgoing import Outgoing
from chatctl.client.session import Session
from chatctl.client.wire import Wire

_DEFAULT_BACKOFF: Final = Backoff()

Token = str | None
GetToken = Callable[[], Token | Awaitable[Token]]

log = logging.getLogger(__name__)


class Sending:
    """A frame on its way; it is sent whether anyone awaits this or not.

    Awaiting it returns its `Delivered`, or raises `MessageRefused` or `MessageInDoubt`. To be cancelled
    while waiting does not take the message back.
    """

    def __init__(self, message: Outgoing, outcome: asyncio.Future[Delivered | MessageFailed]) -> None:
        self.message = message
        self._outcome = outcome

    def __await__(self) -> Generator[Any, None, Delivered]:
        outcome = yield from asyncio.shield(self._outcome).__await__()
        if isinstance(outcome, MessageFailed):
            raise outcome
        return outcome


class ChatClient:
    """One device in one conversation. All methods belong to the event loop's thread.

    `url` is the server's origin (http, https, ws or wss). `last_seq` and `epoch` of an earlier run bring
    what was missed since. `get_token` gives the JWT for each connection (it may be a coroutine function),
    `api_key` the key for the REST history. `ack_timeout` is in seconds, by default the server's.

    Events go to `on_event`, or are kept until they are read by `async for`: give one where nobody iterates.
    Raises ValueError for another kind of URL.
    """

    def __init__(
        self,
        url: str,
        user_id: str,
        conversation_id: str,
        *,
        client_id: str | None = None,
        last_seq: int | None = None,
        epoch: str | None = None,
        get_token: GetToken | None = None,
        api_key: str | None = None,
        ack_timeout: float | None = None,
        backoff: Backoff = _DEFAULT_BACKOFF,
        on_event: Callable[[Event], None] | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https", "ws", "wss") or not urlsplit(url).netloc:
            raise ValueError(f"not an address of a server: {url}")
        self.session = Session(
            user_id,
            conversation_id,
            client_id=client_id,
            last_seq=last_seq,
            epoch=epoch,
            ack_timeout=ack_timeout,
            backoff=backoff,
        )
        self.url = url
        self._get_token = get_token
        self._api_key = api_key
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._emit = on_event or self._events.put_nowait
        proxy = proxy_for(url)
        self._wire = Wire(url, proxy, self._receive)
        self._history = History(url, self._rest_headers, proxy)
        self._outcomes: dict[int, asyncio.Future[Delivered | MessageFailed]] = {}
        self._running: asyncio.Task[Ended] | None = None
        self._ended: Ended | None = None
        self._welcomed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._catching_up = CatchingUp(self.session, self._history, self._report)

    # -- life ----------------------------------------------------------------------------------------

    async def connect(self, keep_trying: bool = True) -> None:
        """Returns at the first welcome, however many attempts it takes; not `keep_trying` makes only one.

        Raises SessionEnded. Also begins anew after an `Ended`.
        """
        if self._running is not None and not self._running.done():
            raise RuntimeError("already connected, or about to be")
        self._welcomed.clear()
        self._ended = None
        self._running = asyncio.create_task(self._run(keep_trying))
        welcomed = asyncio.create_task(self._welcomed.wait())
        await asyncio.wait((welcomed, self._running), return_when=asyncio.FIRST_COMPLETED)
        welcomed.cancel()
        if not self._welcomed.is_set():
            ended = self._running.result()
            raise SessionEnded(ended.code, ended.reason)

    async def close(self) -> None:
        """Leaves the conversation; what is in flight fails. May be called more than once.

        Raises what `on_event` has raised, if that ended the client.
        """
        try:
            if self.session.state is not State.CLOSED:
                self._handle(self.session.end())
        finally:
            await self._release()

    async def _release(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._wire.close()
        await self._history.close()
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            if not self._running.cancelled():
                self._running.result()

    async def __aenter__(self) -> Self:
        try:
            await self.connect()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Gives all events from the beginning, up to and with `Ended`."""
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Ended):
                return

    @property
    def ended(self) -> Ended | None:
        """Tells why the session is over, if it is."""
        return self._ended

    def reconnect_now(self) -> None:
        """Makes the next attempt at once."""
        self._hurry.set()

    # -- what a device says: all of it raises SessionEnded after `Ended` -------------------------------

    def send(self, text: str, message_id: str | None = None, timestamp: str | None = None) -> Sending:
        """Sends a message, now or as soon as there is a connection.

        `timestamp` (RFC 3339) reaches the devices as `client_timestamp`. Raises ValueError if the
        message_id is in flight, or the text holds a lone surrogate.
        """
        return self._sending(self._speaker.send(message_id or _new_id(), text, self._now(), timestamp))

    def retry(self, message: Outgoing) -> Sending:
        """Sends a failed message again, with the same message_id where it may have been saved."""
        return self._sending(self._speaker.retry(message, _new_id(), self._now()))

    def mark_read(self, seq: int) -> Sending | None:
        """Tells that everything up to `seq` has been read; returns None if that is no news."""
        receipt = self._speaker.mark_read(_new_id(), seq, self._now())
        return self._sending(receipt) if receipt else None

    def cancel_response(self, message_id: str | None = None) -> Sending:
        """Stops the AI_RESPONSE with this id; None: whatever is being written or prepared.

        What was written so far is saved, with `finish` `cancelled`. Raises MessageRefused when awaited where
        there was nothing to stop.
        """
        return self._sending(self._speaker.cancel_response(_new_id(), message_id, self._now()))

    def refresh_token(self, token: str) -> Sending:
        """Gives the open connection a new JWT."""
        return self._sending(self._speaker.refresh_token(_new_id(), token, self._now()))

    def typing(self, is_typing: bool) -> None:
        """Call it at every key: it is sent as often as needed."""
        self.session.typing(is_typing, self._now())
        self._handle([])

    async def flush(self, seconds: float | None = None) -> bool:
        """Waits until all that is in flight is answered or given up; False if `seconds` were too few."""
        if not self._outcomes:
            return True
        _, waiting = await asyncio.wait(self._outcomes.values(), timeout=seconds)
        return not waiting

    async def history(self, before_seq: int | None = None, limit: int = 50) -> list[Frame]:
        """Reads earlier messages, ascending: those directly below `before_seq`, or the newest.

        Raises HistoryUnavailable.
        """
        return await self._history.page(self.session.conversation_id, before_seq=before_seq, limit=limit)

    @property
    def _speaker(self) -> Session:
        if self._ended:
            raise SessionEnded(self._ended.code, self._ended.reason)
        return self.session

    def _sending(self, message: Outgoing) -> Sending:
        outcome = asyncio.get_running_loop().create_future()
        self._outcomes[message.number] = outcome
        self._handle([])
        return Sending(message, outcome)

    # -- connections ---------------------------------------------------------------------------------

    async def _run(self, keep_trying: bool) -> Ended:
        await self._renew_token()
        while True:
            code, reason = await self._converse()
            if self.session.state is State.CLOSED:
                return Ended(code, reason)  # close() has reported it
            await self._renew_token()
            may_return = keep_trying or self._welcomed.is_set()
            events = self.session.disconnected(code, reason, random.random(), may_return)
            self._hurry.clear()
            self._handle(events)
            match events[-1]:
                case Reconnecting(delay=delay):
                    await self._pause(delay)
                case Ended() as ended:
                    return ended

    async def _renew_token(self) -> None:
        if self._get_token is None:
            return
        try:
            token = self._get_token()
            self.session.token = await token if inspect.isawaitable(token) else token
        except Exception:  # whoever gives out tokens may be out of reach too: the old one may still do
            log.warning("no new token", exc_info=True)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), seconds)

    async def _converse(self) -> tuple[int, str]:
        url = self.session.start_connection(self.url, self._now())
        self._handle([])
        return await self._wire.converse(url, self.session.headers())

    def _receive(self, payload: str | bytes) -> None:
        if isinstance(payload, bytes):
            self._handle([Unreadable(payload, "a binary frame")])
        else:
            self._handle(self.session.receive(payload, self._now()))

    # -- what the session says -----------------------------------------------------------------------

    def _handle(self, events: list[Event]) -> None:
        """To be called after everything that was done to the session."""
        for event in events:
            self._handle_one(event)
        for frame in self.session.frames_to_send():
            self._wire.write(frame)
        self._set_timer()

    def _handle_one(self, event: Event) -> None:
        match event:
            case Message(new=False):
                pass  # the program has had it
            case Message() if self._catching_up.is_running:
                self._catching_up.hold(event)
            case Missing():
                self._catching_up.start()
            case _:
                self._report(event)

    def _report(self, event: Event) -> None:
        match event:
            case Stale():
                self._wire.abort()
            case Delivered():
                self._settle(event.message, event)
            case Failed(message=message):
                self._settle(message, error_of(message))
            case Welcomed(replaced=replaced):
                self._welcomed.set()
                if replaced:
                    self._catching_up.release()
            case Ended():
                self._ended = event
                self._catching_up.stop()
        self._emit(event)

    def _settle(self, message: Outgoing, outcome: Delivered | MessageFailed) -> None:
        future = self._outcomes.pop(message.number, None)
        if future is not None:
            future.set_result(outcome)

    def _set_timer(self) -> None:
        deadline = self.session.deadline()
        if deadline is None or (self._timer is not None and self._timer.when() <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._handle(self.session.tick(self._now()))

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _rest_headers(self) -> dict[str, str]:
        return {"X-API-Key": self._api_key} if self._api_key else self.session.headers()


def _new_id() -> str:
    return str(uuid.uuid4())
