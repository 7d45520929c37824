"""chatctl loadtest: exit codes, and what stands on which stream. tests/loadtest has the load itself."""

import json
from pathlib import Path

import pytest

from loadtest import reports
from loadtest.free_port import free_port
from loadtest.plan import SCENARIOS
from loadtest.verdict import judge
from tests.chatctl.conftest import Run
from tests.loadtest.test_verdict import healthy
from tests.support.postgres_server import PostgresServer
from tests.support.valkey_server import ValkeyServer


def test_lists_the_scenarios(chatctl: Run) -> None:
    listed = json.loads(chatctl("loadtest", "list", "--json").out)
    assert [one["name"] for one in listed] == list(SCENARIOS)
    table = chatctl("loadtest", "list").out
    assert all(scenario.proves in table for scenario in SCENARIOS.values())


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["fanuot"], "did you mean fanout?"),
        (["fanout", "--slo", "ack_p99<50%"], "ms"),
        (["fanout", "--slo", "akc_p99<50ms"], "did you mean ack_p99?"),
        (["fanout", "--duration", "fast"], "--duration"),
        (["fanout", "--duration", "0"], "--duration"),
        (["fanout", "--users", "0"], "--users"),
        (["fanout", "--users", "2", "--processes", "3"], "--processes"),
        (["fanout", "--html", "no/such/folder/report.html"], "no/such/folder"),
        (["soak", "--slo", "rss_growth<5%", "--duration", "60"], "growth is judged from --duration 120 on"),
        (["fanout", "--token", "abc"], "--token: it is no JWT with a sub"),
        (["fanout", "--token", "a", "--jwt-secret", "b"], "--token and --jwt-secret exclude each other"),
        (["faults"], "--serve"),
        (["faults", "--serve", "--duration", "5"], "one round of faults may take"),
        (["webhook"], "add --serve, or --service-port"),
        (["webhook", "--serve", "--duration", "5"], "one round of faults may take"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(chatctl: Run, arguments: list[str], hint: str) -> None:
    result = chatctl("loadtest", "run", *arguments)
    assert result.code == 2
    assert hint in result.err
    assert result.err.count("\n") == 1


def test_an_unreachable_server_makes_the_run_not_valid(chatctl: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = chatctl("loadtest", "run", "fanout", "--url", url, "--json", "-")
    document = json.loads(result.out)
    assert result.code == 3
    assert (document["valid"], document["passed"], document["sent"]) == (False, False, 0)
    assert "--serve" in document["invalid_because"][0]


def test_serves_runs_and_reports(chatctl: Run, empty_folder: Path) -> None:
    files = {name: empty_folder / f"report.{name}" for name in ("html", "json", "csv")}
    options = [f"--{name}={path}" for name, path in files.items()]
    load = ["--users", "4", "--devices", "2", "--rate", "40", "--duration", "2s"]
    objectives = ["--slo", "ack_p99<30s", "--slo", "ack_max>1000s"]
    result = chatctl("loadtest", "run", "fanout", "--serve", *load, *objectives, *options)
    document = json.loads(files["json"].read_text())
    assert document["invalid_because"] == []
    assert (document["lost"], document["duplicated"], document["out_of_order"], document["ghosts"]) == (
        0,
        0,
        0,
        0,
    )
    assert document["sent"] == document["acked"] == document["deliveries"] / 2 > 40
    assert [slo["passed"] for slo in document["slos"]] == [True, False]
    assert set(document["latency_ms"]["ack"]) >= {"p50", "p90", "p99", "p99_9", "max"}
    assert document["server"]["after"]["messages"]["acked"] == document["acked"]
    assert "failed" in result.out
    assert result.code == 1
    assert files["csv"].read_text().count("\n") == len(document["timeline"]) + 1
    assert "https://" not in files["html"].read_text()


def test_bench_measures_each_case(chatctl: Run) -> None:
    result = chatctl(
        "loadtest", "bench", "--cases", "D2,rate50,idle20", "--seconds", "0.5", "--runs", "1", "--json"
    )
    cases = json.loads(result.out)["cases"]
    assert result.code == 0
    assert cases["D2"]["figures"]["msgs_s"] > 0
    assert cases["rate50"]["figures"]["ack_p99_ms"] > 0
    assert cases["idle20"]["figures"]["accepts_s"] > 0


def test_bench_measures_nodes_and_the_services_beside_them(
    chatctl: Run, postgres: PostgresServer, valkey: ValkeyServer
) -> None:
    result = chatctl(
        "loadtest", "bench", "--cases", "D3", "--seconds", "0.5", "--runs", "1", "--nodes", "1,2", "--json"
    )
    cases = json.loads(result.out)["cases"]
    assert result.code == 0, cases
    assert cases["P1D3"]["figures"]["postgres_us_msg"] > 0
    assert "valkey_us_msg" not in cases["P1D3"]["figures"]
    assert cases["N2D3"]["figures"]["valkey_us_msg"] >= 0  # less than a tick of the system's clock, perhaps


@pytest.mark.parametrize("nodes", ["0", "two", "1,,2"])
def test_bench_takes_numbers_of_nodes(chatctl: Run, nodes: str) -> None:
    result = chatctl("loadtest", "bench", "--nodes", nodes)
    assert (result.code, "numbers from 1 on" in result.err) == (2, True)


def test_bench_knows_no_other_cases(chatctl: Run) -> None:
    result = chatctl("loadtest", "bench", "--cases", "D3,fast")
    assert result.code == 2
    assert "no such case: fast" in result.err


def test_capacity_is_searched_for_with_a_server_of_its_own(chatctl: Run, empty_folder: Path) -> None:
    load = ["--users", "2", "--devices", "1", "--start", "10", "--most", "20", "--duration", "1"]
    result = chatctl("loadtest", "capacity", "fanout", "--serve", *load, "--slo", "ack_p99<30s", "--json")
    report = json.loads(result.out)
    assert (result.code, report["capacity"], report["gave_out"]) == (0, 20.0, None)
    assert [each["value"] for each in report["tries"]] == [10.0, 20.0]
    one = ["--of", "devices", "--users", "1", "--devices", "1", "--start", "1", "--duration", "1"]
    never = chatctl("loadtest", "capacity", "fanout", "--serve", *one, "--slo", "ack_p50<0ms")
    assert never.code == 1
    assert "capacity: none; then gave out: ack_p50<0ms: it was" in never.out


def test_compare_reads_two_results_and_its_exit_code_tells_which_is_worse(
    chatctl: Run, tmp_path: Path
) -> None:
    good, bad = healthy(), healthy(faults={"lost": 2})
    for name, evidence in (("a.json", good), ("b.json", bad)):
        (tmp_path / name).write_text(reports.to_json(judge(evidence)))
    a, b = str(tmp_path / "a.json"), str(tmp_path / "b.json")
    assert chatctl("loadtest", "compare", a, a).code == 0
    worse = chatctl("loadtest", "compare", a, b, "--tolerance", "5%", "--json")
    assert (worse.code, json.loads(worse.out)["worse"]) == (1, ["lost"])
    assert "lost" in chatctl("loadtest", "compare", a, b).out
    assert chatctl("loadtest", "compare", b, a).code == 0


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (None, "No such file"),
        ("{}", "is no result of this version's loadtest run --json"),
        ("[", "is no result"),
    ],
)
def test_what_is_no_result_is_one_line_and_exit_code_2(
    chatctl: Run, tmp_path: Path, content: str | None, hint: str
) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    result = chatctl("loadtest", "compare", str(path), str(path))
    assert (result.code, result.out, hint in result.err, result.err.count("\n")) == (2, "", True, 1)
