"""A conversation of the benchmark: every message is followed to its ACK and to each device."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic_core import from_json, to_json

from loadtest.bench.connection import Connection
from server.protocol import MessageType

clock: Final = time.perf_counter
_TEXT: Final = "x" * 100


def user_id(number: int) -> str:
    """Whose the conversation with that number is."""
    return f"user-bench-{number}"


def conversation_id(number: int) -> str:
    return f"conv-bench-{number}"


@dataclass(slots=True)
class Measurement:
    """Latencies of the messages that were due while `measuring`, in seconds from then.

    `completed` counts messages that had their ACK and all deliveries within that time. `faults`: whatever
    is not a message's one ACK and its one delivery to each device, in order.
    """

    measuring: bool = False
    completed: int = 0
    ack: list[float] = field(default_factory=list)
    delivery: list[float] = field(default_factory=list)
    elsewhere: list[float] = field(default_factory=list)  # of deliveries those to devices on other nodes
    faults: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Message:
    due: float
    measured: bool
    awaited: int  # a bit for each device, and above them one for the ACK


class Room:
    """`completed` is called when a message has its ACK and all its deliveries."""

    def __init__(
        self, number: int, devices: int, measurement: Measurement, completed: Callable[["Room"], None]
    ) -> None:
        self.pending: dict[str, _Message] = {}
        self.empty = asyncio.Event()  # set while nothing is pending
        self.empty.set()
        self._number = number
        self._measurement = measurement
        self._completed = completed
        self._ack_bit = 1 << devices
        self._newest = [0] * devices
        self._welcomes = [asyncio.Event() for _ in range(devices)]
        self._connections: list[Connection] = []
        self._closing = False
        self._nodes = 1

    async def open(self, *urls: str) -> None:
        """Connects the devices, to the nodes in turn; each is there when it has its welcome."""
        self._nodes = len(urls)
        for device, welcomed in enumerate(self._welcomes):
            url = urls[device % len(urls)]
            query = f"conversation_id={conversation_id(self._number)}&client_id=device-{device}"
            receive = self._receiver(device)
            connection = await Connection.open(
                f"{url}/ws/{user_id(self._number)}?{query}", receive, self._lost
            )
            self._connections.append(connection)
            await welcomed.wait()

    def close(self) -> None:
        self._closing = True
        for connection in self._connections:
            connection.close()

    def send(self, due: float) -> None:
        """The first device sends a message that was due then."""
        message_id = str(uuid.uuid4())
        everybody = 2 * self._ack_bit - 1
        self.pending[message_id] = _Message(due, self._measurement.measuring, everybody)
        self.empty.clear()
        self._connections[0].send(
            to_json({"type": MessageType.CHAT_MESSAGE, "message_id": message_id, "data": _TEXT})
        )

    def _receiver(self, device: int) -> Callable[[bytes], None]:
        def receive(payload: bytes) -> None:
            frame = from_json(payload)
            match frame["type"]:
                case MessageType.CHAT_MESSAGE:
                    self._delivered(device, frame)
                case MessageType.ACK:
                    self._arrived(frame["message_id"], self._ack_bit, self._measurement.ack)
                case MessageType.SYSTEM if frame["data"]["event"] == "connected":
                    self._newest[device] = frame["data"]["last_seq"]
                    self._welcomes[device].set()
                case MessageType.NACK | MessageType.ERROR:
                    self._fault(f"{frame['type']} {frame['error']['code']}")

        return receive

    def _delivered(self, device: int, frame: dict[str, Any]) -> None:
        if frame["seq"] != self._newest[device] + 1:
            self._fault("out of order")
        self._newest[device] = frame["seq"]
        latencies = [self._measurement.delivery]
        if device % self._nodes:
            latencies.append(self._measurement.elsewhere)
        self._arrived(frame["message_id"], 1 << device, *latencies)

    def _arrived(self, message_id: str, bit: int, *latencies: list[float]) -> None:
        message = self.pending.get(message_id)
        if message is None or not message.awaited & bit:
            self._fault("twice, or never sent")
            return
        message.awaited ^= bit
        if message.measured:
            took = clock() - message.due
            for each in latencies:
                each.append(took)
        if not message.awaited:
            del self.pending[message_id]
            if not self.pending:
                self.empty.set()
            self._measurement.completed += self._measurement.measuring
            self._completed(self)

    def _lost(self) -> None:
        if not self._closing:
            self._fault("connection lost")

    def _fault(self, kind: str) -> None:
        self._measurement.faults[kind] += 1
