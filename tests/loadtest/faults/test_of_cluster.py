"""The scenario `cluster`, some of its faults in quick motion: two real nodes survive them."""

from collections.abc import Iterator

import pytest

from loadtest.cluster.cluster import Cluster, cluster
from loadtest.faults.inflicting import Inflicting
from loadtest.faults.of_cluster import round_of
from loadtest.launch import Launch, run
from loadtest.plan import SCENARIOS, warmup_of
from loadtest.result import Result
from tests.support.postgres_server import PostgresServer
from tests.support.valkey_server import ValkeyServer

SCENARIO = SCENARIOS["cluster"]
USERS, DEVICES, RATE = 8, 3, 24.0
INFLICTED = ("a node is killed", "Valkey is killed", "PostgreSQL crashes")
SECONDS = 24.0  # in which all of them fit, however long each takes


@pytest.fixture(scope="module")
def own(postgres: PostgresServer, valkey_process: ValkeyServer) -> Iterator[Cluster]:
    """Skipped where the programs are missing: the services of the tests say so."""
    with cluster(2, SCENARIO.server) as it:
        yield it


@pytest.fixture(scope="module")
def survived(own: Cluster) -> Result:
    faults = [fault for fault in round_of(SCENARIO.server) if fault.name.startswith(INFLICTED)]
    launch = Launch("cluster", own.urls[0], USERS, 50.0, DEVICES, RATE, SECONDS, 1, [], nodes=own.urls)
    inflicting = Inflicting(own, faults, warmup_of(USERS, 50.0) + SECONDS, pause=0.3)
    result = run(launch, inflicting.follow)
    inflicting.finish()
    result.add_checks(inflicting.checks)
    return result


def test_nothing_is_lost_doubled_or_out_of_order_on_any_node(survived: Result) -> None:
    assert survived.invalid_because == []
    assert survived.failed_because == [], survived.findings
    assert survived.acked > 100


def test_after_each_fault_all_was_well_again(survived: Result) -> None:
    inflicted = {check.name for check in survived.checks}
    assert all(any(name.startswith(each) for name in inflicted) for each in INFLICTED)
    assert survived.reconnects > USERS


def test_what_ails_a_cluster_is_told(own: Cluster) -> None:
    assert own.heal(10.0) == []
    own.nodes[1].end(9)
    (ailment, *_) = own.heal(0.5)
    assert ailment.startswith("node 0 knows of") or ailment.startswith("node 1: GET")
    own.nodes[1].start()
    assert own.heal(10.0) == []
