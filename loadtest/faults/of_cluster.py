"""What happens to a cluster: nodes, the backplane, the database and the network between them fail."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Final

from loadtest.cluster.cluster import Cluster
from loadtest.faults.inflicting import Fault, Unmastered
from loadtest.faults.of_server import START_SECONDS, terminate

_DOWN: Final = 1.5  # seconds for which a service is away
_SLOW: Final = 0.1  # seconds that a packet takes each way
_HEALING: Final = 12.0  # seconds in which all is well again

Inflict = Callable[[Cluster], None]
State = Callable[[Cluster], AbstractContextManager[None]]


def round_of(settings: Mapping[str, str]) -> tuple[Fault[Cluster], ...]:
    """Make one of each. `settings`: those of each node, as environment variables."""
    ttl = float(settings["CHAT_BACKPLANE__NODE_TTL"])
    store_timeout = float(settings["CHAT_STORE__TIMEOUT"])
    grace = float(settings["CHAT_SERVER__SHUTDOWN_GRACE"])
    longer = ttl + 1.0
    return (
        _fault(
            "a node is killed, and comes back later", longer + START_SECONDS, partial(_kill, seconds=longer)
        ),
        _held("a node is stopped for longer than node_ttl", _node_stopped, longer),
        _fault("Valkey is killed, and comes back", _DOWN + 1, _valkey_killed),
        _fault("Valkey forgets everything", 0.5, lambda cluster: cluster.valkey.flush()),
        _held("one node cannot reach Valkey, in silence", _partitioned, longer),
        _held("one node cannot reach Valkey, refused", _refused, longer),
        _held("Valkey is slow", _slow, 2.0),
        _fault("PostgreSQL crashes, and is started", 3.0, _postgres_crashes),
        _held("PostgreSQL stands still, longer than store.timeout", _postgres_stopped, 1.5 * store_timeout),
        _fault("PostgreSQL and Valkey die at once", 4.0, _both_die),
        _fault("Valkey and a node die at once", _DOWN + START_SECONDS, _valkey_and_node_die),
        _fault(
            "all nodes are restarted, one after another",
            0.0,
            partial(_rolling, grace=grace),
            each_node=grace + START_SECONDS,
        ),
    )


def _fault(name: str, seconds: float, inflict: Inflict, each_node: float = 0.0) -> Fault[Cluster]:
    """Make a fault after which the cluster has to be whole again."""

    def inflict_and_heal(cluster: Cluster) -> None:
        inflict(cluster)
        if ailments := cluster.heal(_HEALING):
            raise Unmastered(f"after {_HEALING:g} s: {'; '.join(ailments[:3])}")

    return Fault(name, seconds + 3 * each_node + _HEALING / 4, inflict_and_heal)


def _held(name: str, state: State, seconds: float) -> Fault[Cluster]:
    def inflict(cluster: Cluster) -> None:
        with state(cluster):
            time.sleep(seconds)

    return _fault(f"{name} ({seconds:g} s)", seconds, inflict)


# Nodes


def _kill(cluster: Cluster, seconds: float) -> None:
    node = cluster.nodes[cluster.next_victim()]
    node.end(signal.SIGKILL)
    time.sleep(seconds)
    node.start()


@contextmanager
def _node_stopped(cluster: Cluster) -> Iterator[None]:
    with _standing_still(cluster.nodes[cluster.next_victim()].pid):
        yield


def _rolling(cluster: Cluster, grace: float) -> None:
    for node in cluster.nodes:
        terminate(node, grace)


# The backplane


def _valkey_killed(cluster: Cluster) -> None:
    cluster.valkey.stop()
    time.sleep(_DOWN)
    cluster.valkey.start()


@contextmanager
def _partitioned(cluster: Cluster) -> Iterator[None]:
    """Nothing passes between them, and nobody is told."""
    proxy = cluster.proxies[cluster.next_victim()]
    proxy.hold()
    try:
        yield
    finally:
        proxy.release()


@contextmanager
def _refused(cluster: Cluster) -> Iterator[None]:
    proxy = cluster.proxies[cluster.next_victim()]
    proxy.refuse()
    proxy.cut()
    try:
        yield
    finally:
        proxy.accept()


@contextmanager
def _slow(cluster: Cluster) -> Iterator[None]:
    for proxy in cluster.proxies:
        proxy.delay(_SLOW)
    try:
        yield
    finally:
        for proxy in cluster.proxies:
            proxy.delay(0.0)


# The database


def _postgres_crashes(cluster: Cluster) -> None:
    cluster.postgres.restart(signal.SIGQUIT)


@contextmanager
def _postgres_stopped(cluster: Cluster) -> Iterator[None]:
    with _standing_still(*cluster.postgres.pids):
        yield


# Several


def _both_die(cluster: Cluster) -> None:
    cluster.valkey.stop()
    cluster.postgres.restart(signal.SIGQUIT)
    cluster.valkey.start()


def _valkey_and_node_die(cluster: Cluster) -> None:
    node = cluster.nodes[cluster.next_victim()]
    cluster.valkey.stop()
    node.end(signal.SIGKILL)
    time.sleep(_DOWN)
    cluster.valkey.start()
    node.start()


@contextmanager
def _standing_still(*pids: int) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
