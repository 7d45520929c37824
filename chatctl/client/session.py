"""One device's session in one conversation, without I/O: the client's side of the protocol's section 8.

The session opens no socket, reads no clock and draws no random number. Whoever drives it (the asyncio
client, a Locust user under gevent, a test) owns those and passes in `now` (seconds of any monotonic
clock), new identifiers and random fractions. The loop around it is the same everywhere:

    session = Session("user123", "conv_user123_ai_alex", client_id="phone")
    while True:
        socket = connect(session.start_connection("ws://127.0.0.1:8000", now), headers=session.headers())
        for each text frame:                  # and, at session.deadline() at the latest, session.tick(now)
            events = session.receive(payload, now)
            for payload in session.frames_to_send():
                socket.send(payload)
        events = session.disconnected(close_code, close_reason, fraction=random())
        # the last event tells how to go on: Reconnecting (sleep `delay`, again) or Ended

- After every call ask `frames_to_send()`; each returned string is one text frame. Nothing is returned
  before the welcome, so it is safe to call `send` at any time, connected or not.
- What happened comes back as events (`chatctl.client.events`), in the order to handle them. A PING is
  answered without one.
- `send` returns an `Outgoing`; `Delivered` and `Failed` refer to that same object. After `Failed`, `retry`
  chooses between the same message_id and a new one. What is longer than the server takes is not sent, so
  that it harms nothing else: it fails with the next `tick`, for which `deadline()` is then due at once.
- `Message.new` says whether to show it, `Message.fault` how the server broke its order: a load test counts
  that, and `Misplaced` pieces of answers. `Missing` asks for a part of the REST history, to be handed to
  `history`; who does not care for what was missed ignores it.
- After `Stale` (silence, or a server of another protocol version) abort the socket, then report
  `disconnected(1006, ...)`. A handshake that fails is reported
  by `disconnected` too: with `backoff.close_code_of_refusal(status)`, or 1006 where HTTP gave no answer.
- After a close with 4003 set a new `token` before calling `disconnected`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Final
from urllib.parse import quote, urlencode

from pydantic_core import from_json

from chatctl.client.backoff import Backoff
from chatctl.client.events import (
    Ended,
    Event,
    Frame,
    Message,
    Missing,
    Notice,
    Read,
    Reconnecting,
    Stale,
    State,
    Typing,
    Unreadable,
    Welcomed,
)
from chatctl.client.inbox import Inbox
from chatctl.client.outbox import Outbox
from chatctl.client.outgoing import CONNECTION_LOST, Failure, Outgoing
from server.protocol import PROTOCOL_VERSION, CloseCode, MessageType, Welcome, reconnects_after

DEFAULT_ACK_TIMEOUT: Final = 10.0
# The server lets an indicator lapse after typing.timeout, 4 s by default: renew it well before.
TYPING_RENEWAL: Final = 2.5
# From the start of a connection to its welcome: a server to which thousands return at once may take its time.
WELCOME_PATIENCE: Final = 20.0

_DEFAULT_BACKOFF: Final = Backoff()


class Session:
    """See the module's docstring for how to drive it. Not safe for use by several threads at once.

    `last_seq` and `epoch` (from an earlier run, if any) make the first connection replay what was missed;
    without them it starts at the newest message. `ack_timeout` None takes the server's.
    """

    def __init__(
        self,
        user_id: str,
        conversation_id: str,
        *,
        client_id: str | None = None,
        session_id: str | None = None,
        last_seq: int | None = None,
        epoch: str | None = None,
        token: str | None = None,
        ack_timeout: float | None = None,
        backoff: Backoff = _DEFAULT_BACKOFF,
    ) -> None:
        self.user_id = user_id
        self.conversation_id = conversation_id
        self.client_id = client_id
        self.session_id = session_id
        self.token = token
        self.state = State.CLOSED
        self.welcome: Welcome | None = None

        self._backoff = backoff
        self._inbox = Inbox(last_seq, epoch)
        self._has_own_ack_timeout = ack_timeout is not None
        self._outbox = Outbox(DEFAULT_ACK_TIMEOUT if ack_timeout is None else ack_timeout)
        self._attempt = 0
        self._read_to = 0
        self._typing_since: float | None = None
        self._reconnect_after: float | None = None
        self._verdict: tuple[int, str] | None = None  # how this side ends the connection for good
        self._token_in_use: str | None = None
        self._last_sign_of_life = 0.0
        self._patience: float | None = None  # seconds of silence after which the connection is dead

    # -- connections ---------------------------------------------------------------------------------

    def start_connection(self, origin: str, now: float) -> str:
        """Begins a connection; returns the URL to open now.

        `origin` is the server's `ws://host:port` (http and https do as well).
        """
        self.state = State.RECONNECTING if self.welcome else State.CONNECTING
        self._token_in_use = self.token
        self._last_sign_of_life, self._patience = now, WELCOME_PATIENCE
        known = {
            "conversation_id": self.conversation_id,
            "client_id": self.client_id,
            "session_id": self.session_id,
            "last_seq": self.last_seq,
            "epoch": self.epoch,
        }
        query = urlencode({key: value for key, value in known.items() if value is not None})
        base = "ws" + origin.removeprefix("http") if origin.startswith("http") else origin
        return f"{base.rstrip('/')}/ws/{quote(self.user_id, safe='')}?{query}"

    def headers(self) -> dict[str, str]:
        """Gives what the handshake must carry beside the URL."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def frames_to_send(self) -> list[str]:
        """Takes the text frames to send now, each once."""
        return self._outbox.take_frames()

    def disconnected(self, code: int, reason: str, fraction: float, keep_trying: bool = True) -> list[Event]:
        """Takes the end of a connection, or that none could be made. `fraction` (0 to 1) is the jitter.

        The last event is `Reconnecting` or `Ended`. What is in flight stays so while reconnecting.
        """
        self._leave_connection()
        self._attempt += 1
        if self._verdict is not None or not keep_trying or not self._may_reconnect(code):
            return self.end(*(self._verdict or (code, reason)))
        self.state = State.RECONNECTING
        asked, self._reconnect_after = self._reconnect_after, None  # by the shutdown: once
        delay = self._backoff.delay(self._attempt, code, asked, fraction)
        return [Reconnecting(delay, self._attempt, code, reason)]

    def end(self, code: int = CloseCode.NORMAL, reason: str = "closed by this client") -> list[Event]:
        """Wants no more connections: fails what is in flight. The program may start anew later."""
        self._leave_connection()
        self.state = State.CLOSED
        self._attempt, self._verdict = 0, None
        text = f"Connection ended before an answer came: {reason}"
        failed = self._outbox.give_up(Failure(CONNECTION_LOST, text, retryable=True))
        return [*failed, Ended(code, reason)]

    def _leave_connection(self) -> None:
        self._outbox.close()
        self._typing_since = self._patience = None

    def _may_reconnect(self, code: int) -> bool:
        if code == CloseCode.TOKEN_EXPIRED and self.token == self._token_in_use:
            return False
        return reconnects_after(code) and self._backoff.allows(self._attempt)

    # -- sending -------------------------------------------------------------------------------------

    def send(self, message_id: str, text: str, now: float, timestamp: str | None = None) -> Outgoing:
        """Sends a CHAT_MESSAGE. `timestamp` (RFC 3339) reaches the devices as `client_timestamp`.

        Raises ValueError if the id is in flight already, or the text cannot be encoded (a lone surrogate).
        """
        self._typing_since = None  # the server ends the indicator when the message arrives
        return self.send_frame(MessageType.CHAT_MESSAGE, message_id, text, now, timestamp)

    def send_frame(
        self, type_: MessageType, message_id: str, data: Any, now: float, timestamp: str | None = None
    ) -> Outgoing:
        """Sends any frame that is answered by ACK or NACK. Raises ValueError as `send` does."""
        return self._outbox.send(type_, message_id, data, now, timestamp)

    def retry(self, message: Outgoing, new_id: str, now: float) -> Outgoing:
        """Sends a failed message again: under its own id where it may have been saved, else under `new_id`.

        Raises ValueError if the message has not failed.
        """
        return self._outbox.retry(message, new_id, now)

    def discard(self, message: Outgoing) -> None:
        """Forgets a failed message: a late answer to it is a mere Notice."""
        self._outbox.discard(message)

    def mark_read(self, message_id: str, seq: int, now: float) -> Outgoing | None:
        """Tells that everything up to `seq` has been read; None if that had been told before.

        `message_id` is the receipt's own id.
        """
        if seq <= self._read_to:
            return None
        self._read_to = seq
        return self.send_frame(MessageType.READ_RECEIPT, message_id, {"seq": seq}, now)

    def cancel_response(self, message_id: str, response_id: str | None, now: float) -> Outgoing:
        """Stops the AI_RESPONSE `response_id`; None: whatever is being written or prepared."""
        data = {} if response_id is None else {"message_id": response_id}
        return self.send_frame(MessageType.CANCEL_RESPONSE, message_id, data, now)

    def refresh_token(self, message_id: str, token: str, now: float) -> Outgoing:
        """Gives the open connection, and every later one, a new JWT."""
        self.token = token
        return self.send_frame(MessageType.AUTH_REFRESH, message_id, {"token": token}, now)

    def typing(self, is_typing: bool, now: float) -> None:
        """Call it at every key: it is sent as often as needed, and dropped while not connected."""
        since = self._typing_since
        unchanged = since is None if not is_typing else since is not None and now < since + TYPING_RENEWAL
        if self.state is not State.OPEN or unchanged:
            return
        self._typing_since = now if is_typing else None
        self._outbox.write({"type": MessageType.TYPING_INDICATOR.value, "data": {"is_typing": is_typing}})

    # -- time ----------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """Gives the time when `tick` is due at the latest, if nothing else happens before."""
        stale_at = None if self._patience is None else self._last_sign_of_life + self._patience
        times = [time for time in (self._outbox.next_deadline(), stale_at) if time is not None]
        return min(times, default=None)

    def tick(self, now: float) -> list[Event]:
        """Handles what is due: resends, failures by timeout, a dead connection."""
        events = self._outbox.tick(now)
        if self._patience is not None and now >= self._last_sign_of_life + self._patience:
            events.append(self._abandon("nothing came for longer than the server said"))
        return events

    def _abandon(self, reason: str) -> Stale:
        self._patience = None  # told once
        return Stale(reason)

    @property
    def ack_timeout(self) -> float:
        """Seconds to wait for an answer: as configured, else as the server told."""
        return self._outbox.ack_timeout

    # -- receiving -----------------------------------------------------------------------------------

    @property
    def last_seq(self) -> int | None:
        """All messages up to here have been seen; None before the first welcome."""
        return self._inbox.last_seq

    @property
    def epoch(self) -> str | None:
        """Names the log that `last_seq` counts in."""
        return self._inbox.epoch

    @property
    def in_flight(self) -> Mapping[str, Outgoing]:
        """What waits for its answer, by message_id."""
        return self._outbox.in_flight

    @property
    def missing(self) -> list[tuple[int, int]]:
        """The ranges (first, last) that only the REST history still has."""
        return self._inbox.missing

    def receive(self, payload: str | bytes, now: float) -> list[Event]:
        """Takes one text frame. Whatever the server sends, nothing is raised."""
        self._last_sign_of_life = now
        try:
            frame = from_json(payload, allow_inf_nan=False)
            handle = self._HANDLERS.get(frame["type"], Session._on_other)
            return handle(self, frame, now)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return [Unreadable(payload, f"{type(error).__name__}: {error}")]

    def history(self, frames: Iterable[Frame]) -> list[Event]:
        """Takes messages of the REST history, in any order; only those that were missing come out.

        Raises KeyError, TypeError or ValueError for what is no broadcast frame.
        """
        return [event for message in self._inbox.history(frames) for event in self._seen(message)]

    def _on_message(self, frame: Frame, now: float) -> list[Event]:
        if self.state is not State.OPEN:
            raise ValueError("a message before the welcome")
        *missing, message = self._inbox.message(frame)
        assert isinstance(message, Message)
        return [*missing, *self._seen(message)]

    def _seen(self, message: Message) -> list[Event]:
        if message.frame.get("sender") != self.user_id:
            return [message]
        delivered = self._outbox.seen(message)
        return [message, delivered] if delivered else [message]

    def _on_ack(self, frame: Frame, now: float) -> list[Event]:
        delivered = self._outbox.acked(frame)
        return [delivered] if delivered else self._on_other(frame, now)

    def _on_nack(self, frame: Frame, now: float) -> list[Event]:
        failed = self._outbox.nacked(frame)
        return [failed] if failed else self._on_other(frame, now)

    def _on_chunk(self, frame: Frame, now: float) -> list[Event]:
        return self._inbox.piece(frame)

    def _on_typing(self, frame: Frame, now: float) -> list[Event]:
        return [Typing(frame["sender"], frame["data"]["is_typing"])]

    def _on_receipt(self, frame: Frame, now: float) -> list[Event]:
        data = frame["data"]
        return [Read(frame["sender"], data.get("message_id"), data["seq"])]

    def _on_ping(self, frame: Frame, now: float) -> list[Event]:
        pong = {key: frame[key] for key in ("message_id", "data") if key in frame}
        self._outbox.write(pong | {"type": MessageType.PONG.value})
        return []

    def _on_pong(self, frame: Frame, now: float) -> list[Event]:
        return []

    def _on_system(self, frame: Frame, now: float) -> list[Event]:
        data = frame["data"]
        if data["event"] == "connected":
            return self._on_welcome(data, now)
        if data["event"] == "shutdown":
            self._reconnect_after = max(0.0, float(data["reconnect_after"]))
        return self._on_other(frame, now)

    def _on_other(self, frame: Frame, now: float) -> list[Event]:
        return [Notice(frame["type"], frame.get("data"), frame)]

    # -- the welcome ---------------------------------------------------------------------------------

    def _on_welcome(self, data: Frame, now: float) -> list[Event]:
        if data["protocol"] != PROTOCOL_VERSION:
            return [self._refuse(data["protocol"])]
        welcome = Welcome.model_validate(data)
        replaced = self._inbox.open(welcome)
        if replaced:
            self._read_to = 0
        self.welcome, self.client_id, self.session_id = welcome, welcome.client_id, welcome.session_id
        self.state, self._patience = State.OPEN, welcome.heartbeat_timeout
        self._attempt, self._reconnect_after = 0, None
        if not self._has_own_ack_timeout:
            self._outbox.ack_timeout = welcome.ack_timeout
        self._outbox.open(welcome, replaced, now)
        gaps = [Missing(first, last) for first, last in self.missing] if welcome.gap else []
        return [Welcomed(welcome, replaced), *gaps]

    def _refuse(self, version: Any) -> Stale:
        reason = (
            f"the server speaks version {version} of the protocol, this client version {PROTOCOL_VERSION}"
        )
        self._verdict = CloseCode.PROTOCOL_ERROR, reason
        return self._abandon(reason)

    _HANDLERS: ClassVar[dict[str, Callable[["Session", Frame, float], list[Event]]]] = {
        MessageType.CHAT_MESSAGE: _on_message,
        MessageType.AI_RESPONSE: _on_message,
        MessageType.AI_RESPONSE_CHUNK: _on_chunk,
        MessageType.ACK: _on_ack,
        MessageType.NACK: _on_nack,
        MessageType.TYPING_INDICATOR: _on_typing,
        MessageType.READ_RECEIPT: _on_receipt,
        MessageType.SYSTEM: _on_system,
        MessageType.PING: _on_ping,
        MessageType.PONG: _on_pong,
    }
