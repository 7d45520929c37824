"""Nodes on one PostgreSQL and one Valkey, with a proxy between each node and Valkey."""

import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from loadtest.cluster.postgres import Postgres, folder_for_postgres
from loadtest.cluster.programs import NO_POSTGRES, NO_VALKEY, ServiceFailed, find_postgres, find_valkey
from loadtest.cluster.tcp_proxy import TcpProxy, tcp_proxy
from loadtest.cluster.valkey import Valkey
from loadtest.local_server import LocalServer
from loadtest.rest import Rest, RestError

_ASK_EACH: Final = 0.2  # seconds
_REST_SECONDS: Final = 2.0


class Cluster:
    """All of it runs, unless a fault has just ended some. `proxies[n]` is between `nodes[n]` and Valkey.

    There are no proxies where nothing is to happen to the network.
    """

    def __init__(
        self, nodes: list[LocalServer], proxies: list[TcpProxy], postgres: Postgres, valkey: Valkey
    ) -> None:
        self.nodes = nodes
        self.proxies = proxies
        self.postgres = postgres
        self.valkey = valkey
        self._victim = -1

    @property
    def urls(self) -> tuple[str, ...]:
        return tuple(node.url for node in self.nodes)

    def next_victim(self) -> int:
        """Pick the number of a node that something is done to: each in its turn."""
        self._victim = (self._victim + 1) % len(self.nodes)
        return self._victim

    def ailments(self) -> list[str]:
        """Tell what is not as it should be: who does not answer, who is missed by whom, who is here twice."""
        found: list[str] = []
        places: Counter[str] = Counter()
        for number, node in enumerate(self.nodes):
            rest = Rest(node.url, timeout=_REST_SECONDS)
            try:
                backplane = rest.stats()["backplane"]
                places.update(_places(rest))
            except RestError as error:
                found.append(f"node {number}: {error}")
            else:
                if backplane["status"] != "ok":
                    found.append(f"node {number} cannot hear the others")
                if backplane["nodes"] != len(self.nodes):
                    found.append(f"node {number} knows of {backplane['nodes']} nodes")
            finally:
                rest.close()
        return found + [f"{place} is connected {count} times" for place, count in places.items() if count > 1]

    def heal(self, seconds: float) -> list[str]:
        """Wait until nothing ails; what does after so many seconds."""
        end = time.monotonic() + seconds
        while (found := self.ailments()) and time.monotonic() < end:
            time.sleep(_ASK_EACH)
        return found


@contextmanager
def cluster(nodes: int, settings: Mapping[str, str], has_proxies: bool = True) -> Iterator[Cluster]:
    """Start everything, and stop it in the end. `settings`: of each node, as environment variables.

    A node that is alone has no backplane.

    Raises:
        ServiceFailed: PostgreSQL or Valkey is not installed, or did not start.
        ServerFailed: A node did not start.
    """
    with ExitStack() as stack:
        postgres = stack.enter_context(_postgres())
        valkey = stack.enter_context(_valkey())
        proxies = [stack.enter_context(tcp_proxy(valkey.port)) for _ in range(nodes if has_proxies else 0)]
        ports = [proxy.port for proxy in proxies] or [valkey.port] * nodes
        servers: list[LocalServer] = []
        for number in range(nodes):
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chatctl-loadtest-"))
            backplane = {"CHAT_BACKPLANE__URL": valkey.url(ports[number])} if nodes > 1 else {}
            server = LocalServer(Path(folder), {**settings, "CHAT_STORE__URL": postgres.url(), **backplane})
            stack.callback(server.end)
            server.start()
            servers.append(server)
        yield Cluster(servers, proxies, postgres, valkey)


@contextmanager
def _postgres() -> Iterator[Postgres]:
    programs = find_postgres()
    if programs is None:
        raise ServiceFailed(NO_POSTGRES)
    with folder_for_postgres(programs) as (folder, reachable):
        postgres = Postgres(folder, reachable, {"max_connections": "300"})
        postgres.start()
        try:
            yield postgres
        finally:
            postgres.stop()


@contextmanager
def _valkey() -> Iterator[Valkey]:
    program = find_valkey()
    if program is None:
        raise ServiceFailed(NO_VALKEY)
    valkey = Valkey(program)
    valkey.start()
    try:
        yield valkey
    finally:
        valkey.stop()


def _places(rest: Rest) -> Iterator[str]:
    """Each connection of a node, named by its conversation and client_id."""
    for each in rest.items("/stats/connections?limit=1000"):
        yield f"{each['client_id']} in {each['conversation_id']}"
