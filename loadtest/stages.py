"""Where a run takes place: a server that is there, or one of our own with what it needs beside it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from loadtest.cluster.cluster import cluster
from loadtest.faults import of_cluster, of_server, of_service
from loadtest.faults.inflicting import PAUSE, Inflicting, seconds_of
from loadtest.faults.of_service import Pair
from loadtest.launch import Launch, LaunchFailed
from loadtest.local_server import is_alive, local_server
from loadtest.plan import Scenario, warmup_of
from loadtest.progress import Phase, Progress
from loadtest.result import Check
from loadtest.service.service import AiService, ai_service

Follow = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """`checks`: complete once the stage is left. `follow` is to be told of the load."""

    url: str
    service: str | None = None
    nodes: tuple[str, ...] = ()
    follow: Follow = lambda progress: None
    checks: list[Check] = field(default_factory=list)


def own_stage(
    scenario: Scenario, launch: Launch, nodes: int | None = None, pause: float = PAUSE
) -> AbstractContextManager[Stage]:
    """Start what the scenario needs, for this run.

    `nodes`: of a cluster, where it is not the scenario's number. `pause`: seconds before each fault.
    Entering raises ServerFailed or ServiceFailed.
    """
    settings = {**scenario.server, **_auth(launch)}
    if scenario.nodes > 1:
        return _cluster(nodes or scenario.nodes, settings, launch, pause)
    if scenario.has_service:
        return _server_and_service(settings, launch, pause)
    return _faulty_server(settings, launch, pause) if scenario.faults else _server(settings)


@contextmanager
def given_stage(scenario: Scenario, launch: Launch, service_port: int | None) -> Iterator[Stage]:
    """Use the server that is there, or several at addresses that commas separate.

    `service_port`: where it expects its AI service. Entering raises LaunchFailed where no server answers.
    """
    urls = tuple(launch.url.split(","))
    for url in urls:
        if not is_alive(url):
            raise LaunchFailed(f"no chat server answers at {url}: start one, or add --serve")
    if len(urls) > 1:
        yield Stage(urls[0], nodes=urls)
        return
    if not scenario.has_service or service_port is None:
        yield Stage(launch.url)
        return
    timeout = float(scenario.server["CHAT_AI__WEBHOOK_TIMEOUT"])
    with ai_service(timeout, "", service_port) as service:
        service.answer_to(launch.url, launch.credentials.api_key)
        yield Stage(launch.url, service.url, follow=_well_at_the_end(service))


def seconds_of_a_round(scenario: Scenario) -> float:
    """Compute how long one round of the faults takes at most that a server of our own meets."""
    if not scenario.faults:
        return 0.0
    if scenario.nodes > 1:
        return seconds_of(of_cluster.round_of(scenario.server))
    if scenario.has_service:
        return seconds_of(of_service.round_of(scenario.server))
    return seconds_of(of_server.round_of(scenario.server))


def _auth(launch: Launch) -> dict[str, str]:
    """The settings of a server that wants what the users have."""
    secret = launch.credentials.jwt_secret
    return {"CHAT_AUTH__JWT_SECRET": secret} if secret else {}


@contextmanager
def _server(settings: Mapping[str, str]) -> Iterator[Stage]:
    with local_server(settings) as server:
        yield Stage(server.url)


@contextmanager
def _faulty_server(settings: Mapping[str, str], launch: Launch, pause: float) -> Iterator[Stage]:
    with local_server(settings) as server:
        inflicting = Inflicting(server, of_server.round_of(settings), _seconds_in_all(launch), pause)
        try:
            yield Stage(server.url, follow=inflicting.follow, checks=inflicting.checks)
        finally:
            inflicting.finish()


@contextmanager
def _server_and_service(settings: Mapping[str, str], launch: Launch, pause: float) -> Iterator[Stage]:
    with (
        ai_service(float(settings["CHAT_AI__WEBHOOK_TIMEOUT"])) as service,
        local_server({**settings, "CHAT_AI__WEBHOOK_URL": service.turns_url}) as server,
    ):
        service.answer_to(server.url)
        inflicting = Inflicting(
            Pair(server, service), of_service.round_of(settings), _seconds_in_all(launch), pause
        )
        follow = _both(inflicting.follow, _well_at_the_end(service))
        try:
            yield Stage(server.url, service.url, (), follow, inflicting.checks)
        finally:
            inflicting.finish()


@contextmanager
def _cluster(nodes: int, settings: Mapping[str, str], launch: Launch, pause: float) -> Iterator[Stage]:
    with cluster(nodes, settings) as own:
        inflicting = Inflicting(own, of_cluster.round_of(settings), _seconds_in_all(launch), pause)
        try:
            yield Stage(own.urls[0], None, own.urls, inflicting.follow, inflicting.checks)
        finally:
            inflicting.finish()


def _seconds_in_all(launch: Launch) -> float:
    return warmup_of(launch.users, launch.spawn_rate) + launch.duration


def _well_at_the_end(service: AiService) -> Follow:
    """So that everything comes to its end."""

    def follow(progress: Progress) -> None:
        if progress.phase in (Phase.SETTLING, Phase.DONE):
            service.behave()

    return follow


def _both(first: Follow, second: Follow) -> Follow:
    def follow(progress: Progress) -> None:
        first(progress)
        second(progress)

    return follow
