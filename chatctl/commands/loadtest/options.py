"""Options of the commands that put load on a server, and the run that they describe."""

from typing import Annotated

import typer

from loadtest.credentials import Credentials
from loadtest.launch import Launch
from loadtest.plan import Scenario

_FASTEST_SPAWN = 100.0  # Locust's own limit for each process

Users = Annotated[int | None, typer.Option(min=1, help="Users, each with a conversation.")]
Devices = Annotated[int | None, typer.Option(min=1, help="Devices of each user.")]
Duration = Annotated[str | None, typer.Option(help="Measured time: 5, 5s, 2m. Warm-up comes on top.")]
Processes = Annotated[int, typer.Option(min=1, help="Generator processes.")]
Serve = Annotated[bool, typer.Option("--serve", help="Start a server for this run.")]
Objectives = Annotated[
    list[str] | None, typer.Option("--slo", help="An objective, as 'ack_p99<50ms'; repeatable.")
]
Token = Annotated[
    str,
    typer.Option(
        envvar="CHATCTL_TOKEN", help="A JWT: all connect as the user it is made for.", show_default=False
    ),
]
JwtSecret = Annotated[
    str,
    typer.Option(
        envvar="CHATCTL_JWT_SECRET",
        help="The server's auth.jwt_secret: each user gets a token of its own.",
        show_default=False,
    ),
]


def launch_of(
    scenario: Scenario,
    url: str,
    users: int | None,
    devices: int | None,
    rate: float | None,
    duration: float,
    processes: int,
    objectives: list[str],
    credentials: Credentials,
) -> Launch:
    """Return the run; what is None has the scenario's default."""
    wanted = users or scenario.users
    return Launch(
        scenario=scenario.name,
        url=url.rstrip("/"),
        users=wanted,
        spawn_rate=min(wanted, _FASTEST_SPAWN),
        devices=devices or scenario.devices,
        rate=rate or scenario.rate,
        duration=duration,
        processes=processes,
        slos=objectives,
        credentials=credentials,
    )
