"""Looks at what a load test is asked for, before any load starts: what is wrong is one line."""

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from chatctl.failure import MISUSED, CommandError
from loadtest import launch, slo
from loadtest.credentials import Credentials
from loadtest.plan import SCENARIOS, Scenario
from loadtest.stages import seconds_of_a_round

INSTALL = "pip install 'chatctl[loadtest]'"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h)?")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def scenario_named(name: str) -> Scenario:
    if name not in SCENARIOS:
        near = get_close_matches(name, SCENARIOS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(SCENARIOS)}"
        raise CommandError(f"no such scenario: {name}; {hint}", exit_code=MISUSED)
    return SCENARIOS[name]


def seconds_of(duration: str) -> float:
    match = _DURATION.fullmatch(duration.strip())
    if match is None or not float(match[1]):
        raise CommandError(f"--duration {duration}: write it as 5, 5s or 2m", exit_code=MISUSED)
    return float(match[1]) * _SECONDS[match[2]]


def credentials_of(api_key: str, token: str, jwt_secret: str) -> Credentials:
    if token and jwt_secret:
        raise CommandError("--token and --jwt-secret exclude each other", exit_code=MISUSED)
    credentials = Credentials(api_key, token, jwt_secret)
    try:
        credentials.user_id("")
    except ValueError as error:
        raise CommandError(f"--token: {error}", exit_code=MISUSED) from None
    return credentials


def check_request(users: int, processes: int, files: Sequence[Path | None]) -> None:
    """Everything that can be known to be wrong before the load starts."""
    if not launch.is_installed():
        raise CommandError(f"Locust is not installed: {INSTALL}", exit_code=MISUSED)
    if processes > users:
        raise CommandError(f"--processes {processes}: more than the {users} users", exit_code=MISUSED)
    for file in files:
        if file is not None and not file.absolute().parent.is_dir():
            raise CommandError(f"there is no folder {file.parent}", exit_code=MISUSED)
        if file is not None and (file.is_dir() or not os.access(file.absolute().parent, os.W_OK)):
            raise CommandError(f"cannot write {file}", exit_code=MISUSED)


def check_objectives(objectives: Sequence[str], duration: float) -> None:
    try:
        wanted = [slo.parse(objective) for objective in objectives]
    except slo.SLOError as error:
        raise CommandError(f"--slo: {error}", exit_code=MISUSED) from error
    for each in wanted:
        if each.is_growth and duration < slo.GROWTH_SECONDS:
            text = f"--slo '{each.expression}': growth is judged from --duration {slo.GROWTH_SECONDS:g} on"
            raise CommandError(text, exit_code=MISUSED)


def check_stage(scenario: Scenario, duration: float, serve: bool, service_port: int | None) -> None:
    """See whether the scenario can take place: on a server of our own, or on the one that is there."""
    if serve:
        _check_round(scenario, duration)
    elif scenario.has_service:
        if service_port is None:
            text = (
                f"{scenario.name}: add --serve, or --service-port where the server's ai.webhook_url leads to"
            )
            raise CommandError(text, exit_code=MISUSED)
    elif scenario.faults and scenario.nodes == 1:
        raise CommandError(f"{scenario.name}: add --serve, for it kills the server", exit_code=MISUSED)


def _check_round(scenario: Scenario, duration: float) -> None:
    needed = seconds_of_a_round(scenario)
    if duration < needed:
        text = f"--duration {duration:g}: one round of faults may take {needed:g} seconds"
        raise CommandError(text, exit_code=MISUSED)
