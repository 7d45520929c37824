"""A WebSocket under gevent, on the sans-I/O protocol of `websockets`.

The library's own threading client polls its socket by a selector of its own. Under gevent that ends the
process when a send fails meanwhile and closes the socket: libev does not stand a vanished descriptor.
"""

import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import gevent
from gevent.lock import RLock
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from chatctl.client.backoff import close_code_of_refusal
from chatctl.client.network import certificates
from server.protocol import ABNORMAL_CLOSURE

_OPEN_TIMEOUT: Final = 20.0
_CLOSE_TIMEOUT: Final = 2.0
_CHUNK: Final = 65536
_NO_LINGERING: Final = struct.pack("ii", 1, 0)  # struct linger: on, for no time


class Disconnected(Exception):
    """The connection ended, or was not made; `code` is the close code that stands for how."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}".rstrip())
        self.code = code
        self.reason = reason


class Wire:
    """One open connection. One greenlet receives, any may send."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        """Connects.

        Raises:
            Disconnected: There is no server, or it refused.
        """
        uri = parse_uri(url)
        self._protocol = ClientProtocol(uri, max_size=None)
        self._sending = RLock()
        self._parts: list[bytes] = []
        try:
            self._socket = socket.create_connection((uri.host, uri.port), _OPEN_TIMEOUT)
        except OSError as error:
            raise Disconnected(ABNORMAL_CLOSURE, f"cannot connect: {error}") from error
        try:
            if uri.secure:
                context = certificates()
                self._socket = context.wrap_socket(self._socket, server_hostname=uri.host)
            self._shake_hands(headers)
        except BaseException:
            self._socket.close()
            raise

    def receive(self) -> list[bytes]:
        """Waits for messages; at least one.

        Raises:
            Disconnected: There will be none any more.
        """
        while True:
            messages = [message for frame in self._read() if (message := self._completed(frame)) is not None]
            if messages:
                return messages
            if self._protocol.state is State.CLOSED:
                raise self._end()

    def drain(self) -> None:
        """Receives until the connection has ended."""
        with suppress(Disconnected):
            while True:
                self.receive()

    def send(self, text: str) -> None:
        """Sends a text frame. What the connection cannot take any more is dropped."""
        with self._sending, suppress(OSError):
            if self._protocol.state is State.OPEN:
                self._protocol.send_text(text.encode())
                self._transmit()

    def cut(self) -> None:
        """Ends the connection without a good-bye: the receiving greenlet finds it disconnected."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Ends the connection by a TCP reset, as a firewall does; what is under way is lost."""
        with suppress(OSError):
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGERING)
            self._socket.shutdown(socket.SHUT_RD)  # says nothing to the peer: `release` sends the reset

    def close(self) -> None:
        """Says good-bye and waits for the answer; nobody else may be receiving."""
        with suppress(Disconnected), gevent.Timeout(_CLOSE_TIMEOUT, False):
            with self._sending, suppress(OSError):
                if self._protocol.state is State.OPEN:
                    self._protocol.send_close(1000)
                    self._transmit()
            while True:
                self.receive()
        self.release()

    def release(self) -> None:
        """Gives the socket back."""
        self._socket.close()

    def _shake_hands(self, headers: Mapping[str, str]) -> None:
        request = self._protocol.connect()
        request.headers.update(headers)
        self._protocol.send_request(request)
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._transmit()
            while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
                self._feed()
        except OSError as error:
            raise Disconnected(ABNORMAL_CLOSURE, f"no handshake: {error}") from error
        fault = self._protocol.handshake_exc
        if isinstance(fault, InvalidStatus):
            status = fault.response.status_code
            raise Disconnected(close_code_of_refusal(status), f"HTTP {status}")
        if fault is not None:
            raise Disconnected(ABNORMAL_CLOSURE, f"no handshake: {fault}")
        self._socket.settimeout(None)

    def _read(self) -> list[Frame]:
        """What came with the next packet, or was read along with the handshake's answer."""
        events = self._protocol.events_received()
        if not events and self._protocol.state is not State.CLOSED:
            try:
                self._feed()
            except OSError:
                self._protocol.receive_eof()
            events = self._protocol.events_received()
        return [event for event in events if isinstance(event, Frame)]

    def _feed(self) -> None:
        data = self._socket.recv(_CHUNK)
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        with self._sending:
            self._transmit()

    def _transmit(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            self._socket.sendall(data)

    def _completed(self, frame: Frame) -> bytes | None:
        """The message that ends with this frame."""
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return None
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return None
        message, self._parts = b"".join(self._parts), []
        return message

    def _end(self) -> Disconnected:
        received = self._protocol.close_rcvd
        if received is None:
            return Disconnected(ABNORMAL_CLOSURE, "connection lost")
        return Disconnected(received.code, received.reason)
