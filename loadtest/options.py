"""The load test's own options on Locust's command line and in its web UI."""

import argparse
import uuid
from typing import Any

from locust.env import Environment

from loadtest import slo
from loadtest.credentials import SECRETS, Credentials
from loadtest.plan import SCENARIOS, Scenario, Settings, warmup_of

# Locust hands every option of its parser on to the workers: so the settings of the run get there too.
_SETTINGS = "chat_settings"


def credentials_of(environment: Environment) -> Credentials:
    """Return those that the process was started with."""
    options = environment.parsed_options
    return Credentials(options.api_key, options.token, options.jwt_secret)


def add_arguments(parser: Any) -> None:
    """Adds them to Locust's parser. What is left out has the scenario's default."""
    parser.add_argument("--devices", type=int, help="Devices of each user")
    parser.add_argument("--rate", type=float, help="Messages per second of all users together")
    parser.add_argument("--duration", type=float, help="Seconds of measured time, after which the test ends")
    parser.add_argument("--warmup", type=float, help="Seconds from the start that latencies leave out")
    parser.add_argument(
        "--slo",
        action="append",
        default=[],
        type=_objective,
        help="An objective, as ack_p99<50ms; repeatable",
    )
    parser.add_argument(
        "--report", action="append", default=[], help="A .html, .json or .csv file to write; repeatable"
    )
    parser.add_argument("--node", action="append", default=[], help="A node of a cluster; repeatable")
    parser.add_argument("--service", help="The address of the load test's own AI service")
    for option, variable, help in SECRETS:
        parser.add_argument(option, env_var=variable, is_secret=True, default="", help=help)
    parser.add_argument("--progress-fd", type=int, help=argparse.SUPPRESS, include_in_web_ui=False)
    parser.add_argument("--chat-settings", help=argparse.SUPPRESS, include_in_web_ui=False)


def scenario_of(environment: Environment) -> Scenario:
    return SCENARIOS[environment.user_classes[0].scenario]


def fix_settings(environment: Environment) -> Settings:
    """Decides the settings of a run that starts, and puts them where the workers find them."""
    options, scenario = environment.parsed_options, scenario_of(environment)
    users = environment.runner.target_user_count
    spawn_rate = float(options.spawn_rate or users)
    warmup = options.warmup if options.warmup is not None else warmup_of(users, spawn_rate)
    settings = Settings(
        scenario=scenario.name,
        url=environment.host or "http://127.0.0.1:8000",
        users=users,
        spawn_rate=spawn_rate,
        devices=options.devices or scenario.devices,
        rate=options.rate or scenario.rate,
        warmup=warmup,
        duration=_duration(options, warmup),
        processes=getattr(environment.runner, "worker_count", 0) or 1,
        nodes=tuple(options.node),
        service=options.service,
        run_id=uuid.uuid4().hex[:8],
    )
    setattr(options, _SETTINGS, settings.model_dump_json())
    return settings


def settings_of(environment: Environment) -> Settings:
    """What `fix_settings` has decided, here or in the master process."""
    return Settings.model_validate_json(getattr(environment.parsed_options, _SETTINGS))


def _duration(options: Any, warmup: float) -> float | None:
    if options.duration is not None:
        return float(options.duration)
    return max(0.0, options.run_time - warmup) if options.run_time else None


def _objective(expression: str) -> str:
    try:
        slo.parse(expression)
    except slo.SLOError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return expression
