"""All devices lose their connections and come back at once: python -m tests.benchmarks.storm [--devices 5000]

Prints when half of them have their welcome, when all have, and the server's CPU for one that is cut and comes
back; medians of several storms. The devices are sockets without a library, so that little of the machine is
theirs; `--server` is the command to measure, to compare two versions.
"""

import argparse
import os
import re
import resource
import select
import shlex
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

AT_ONCE: Final = 500  # handshakes under way: fewer than the server's backlog
STORMS: Final = 5
REST_SECONDS: Final = 1.0  # between two storms
PATIENCE: Final = 60.0  # seconds
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
SETTINGS: Final = {
    "CHAT_RATE_LIMIT__ENABLED": "false",
    "CHAT_CONNECTIONS__MAX_PER_IP": "100000",
    "CHAT_CONNECTIONS__MAX_TOTAL": "100000",
    "CHAT_AI__RESPONDER": "none",
    "CHAT_LOG__LEVEL": "warning",
}
HANDSHAKE: Final = (
    "GET /ws/user-{0}?conversation_id=conv-{0}&client_id=phone{1} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
find_session = re.compile(rb'"session_id":"([^"]+)".*"epoch":"([^"]+)".*"devices":').search


class Storm(NamedTuple):
    """Seconds, and microseconds of the server's CPU for each device."""

    half: float
    all: float
    cpu_us: float


class Device:
    """Knows after its first welcome how to come back."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._known = ""
        self.socket: socket.socket

    def knock(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self.socket.sendall(HANDSHAKE.format(self._number, self._known).encode())

    def is_welcome(self) -> bool:
        """Read what has come; answer and welcome are one write of the server's."""
        found = find_session(self.socket.recv(4096))
        if found is not None:
            session, epoch = found[1].decode(), found[2].decode()
            self._known = f"&session_id={session}&epoch={epoch}&last_seq=0"
        return found is not None


def come_in(devices: list[Device], port: int) -> tuple[float, float]:
    """Seconds until half of them had their welcome, and until all had."""
    poll, started = select.epoll(), time.monotonic()
    waiting: dict[int, Device] = {}
    to_come, half = list(devices), 0.0
    while to_come or waiting:
        while to_come and len(waiting) < AT_ONCE:
            device = to_come.pop()
            device.knock(port)
            waiting[device.socket.fileno()] = device
            poll.register(device.socket, select.EPOLLIN)
        for descriptor, _ in poll.poll(PATIENCE):
            poll.unregister(descriptor)
            assert waiting.pop(descriptor).is_welcome(), "a device was not let in"
        if not half and len(to_come) + len(waiting) <= len(devices) // 2:
            half = time.monotonic() - started
    poll.close()
    return half, time.monotonic() - started


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def storm(devices: list[Device], port: int, pid: int) -> Storm:
    before = cpu_seconds(pid)
    for device in devices:
        device.socket.close()
    half, everybody = come_in(devices, port)
    found = Storm(half, everybody, (cpu_seconds(pid) - before) / len(devices) * 1e6)
    time.sleep(REST_SECONDS)
    return found


def measure(command: list[str], count: int, folder: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"CHAT_STORE__URL": f"sqlite:///{folder}/chat.db", "CHAT_SERVER__PORT": str(port)}
    server = subprocess.Popen(
        command, cwd=folder, env=os.environ | SETTINGS | settings, stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        server.stdout.readline()  # it listens
        devices = [Device(number) for number in range(count)]
        come_in(devices, port)
        time.sleep(REST_SECONDS)
        storms = [storm(devices, port, server.pid) for _ in range(STORMS)]
        half, everybody, cpu_us = (statistics.median(figures) for figures in zip(*storms, strict=True))
        print(f"{count}: half after {half:.2f} s, all after {everybody:.2f} s, {cpu_us:.0f} us of CPU each")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, default=5000)
    parser.add_argument("--server", default=f"{sys.executable} -m chatctl serve")
    arguments = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory() as place:
        measure(shlex.split(arguments.server), arguments.devices, place)
