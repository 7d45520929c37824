"""Runs of Locust that tests need."""

from loadtest.launch import Launch, run
from loadtest.result import Result


def run_scenario(
    url: str, scenario: str, *, users: int, rate: float, duration: float = 3.0, processes: int = 1
) -> Result:
    settings = Launch(
        scenario=scenario,
        url=url,
        users=users,
        spawn_rate=50,
        devices=3,
        rate=rate,
        duration=duration,
        processes=processes,
        slos=["ack_p99<30s"],
    )
    return run(settings, lambda progress: None)
