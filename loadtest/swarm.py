"""The load test inside Locust: who generates, who collects, and what they tell each other.

A process that generates load (Locust's only process, or a worker) is a `Producer`; the one that adds up
and judges (the only one, or the master) is a `Collector`. They talk through Locust's own messages, which
in a single process are plain calls. What has to happen before a run is over happens in Locust's
`test_stopping`, since all ways of ending a test lead through it.
"""

import logging
import os
from datetime import UTC, datetime
from typing import Any, Final

import gevent
from gevent.event import Event as Signal
from locust import events
from locust.env import Environment
from locust.rpc.protocol import Message
from locust.runners import MasterRunner, WorkerRunner
from rich.console import Console

from loadtest import reports, slo
from loadtest.device import clock
from loadtest.generator import Generator
from loadtest.machine import describe_machine
from loadtest.options import add_arguments, credentials_of, fix_settings, scenario_of, settings_of
from loadtest.progress import Phase, Progress
from loadtest.reports.table import print_result
from loadtest.rest import Rest, RestError
from loadtest.result import Result
from loadtest.tally import Second, Tally
from loadtest.timeline import point
from loadtest.verdict import Evidence, judge

# Messages between the processes
_SECONDS: Final = "chat-seconds"
_TALLY: Final = "chat-tally"
_FINISH: Final = "chat-finish"

# It tells of every request.
logging.getLogger("httpx2").setLevel(logging.WARNING)

# Settling and reading the histories back take their time; a worker that is not back by then is dead.
_FINISH_TIMEOUT: Final = 300.0


class Producer:
    """Runs this process's generator from a test's start to its end."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._runner = environment.runner
        self._runner.register_message(_FINISH, self._on_finish, concurrent=True)
        environment.events.test_start.add_listener(self._on_start)

    def _on_start(self, **_: Any) -> None:
        name = str(getattr(self._runner, "worker_index", 0))
        credentials = credentials_of(self._environment)
        generator = Generator(settings_of(self._environment), name, self._tell_locust, credentials)
        self._environment.generator = generator
        self._reporter = gevent.spawn(self._report_seconds, generator)

    def _tell_locust(self, what: str, milliseconds: float, refusal: str | None) -> None:
        """Locust's own statistics, for its web UI."""
        self._environment.events.request.fire(
            request_type="WS",
            name=what,
            response_time=milliseconds,
            response_length=0,
            exception=refusal,
            context={},
        )

    def _report_seconds(self, generator: Generator) -> None:
        while True:
            gevent.sleep(1.0)
            self._send_seconds(generator, clock())

    def _send_seconds(self, generator: Generator, now: float) -> None:
        seconds = generator.recorder.finished_seconds(now)
        data = {number: second.model_dump(mode="json") for number, second in seconds.items()}
        self._runner.send_message(_SECONDS, data)

    def _on_finish(self, **_: Any) -> None:
        generator = self._environment.generator
        tally = generator.finish()
        self._reporter.kill()
        self._send_seconds(generator, float("inf"))
        self._runner.send_message(_TALLY, tally.model_dump(mode="json"))


class Collector:
    """Adds up what the producers tell, watches the server, and judges at the end."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._runner = environment.runner
        self._runner.register_message(_SECONDS, self._on_seconds)
        self._runner.register_message(_TALLY, self._on_tally)
        environment.events.test_start.add_listener(self._on_start)
        environment.events.test_stopping.add_listener(self._on_stopping)
        environment.events.quitting.add_listener(self._on_quitting)

    def _on_start(self, **_: Any) -> None:
        options = self._environment.parsed_options
        self._settings = fix_settings(self._environment)
        self._rest = Rest(self._settings.url, credentials_of(self._environment).api_key)
        self._started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self._start = clock()
        self._tally = Tally()
        self._seconds: dict[int, Second] = {}
        self._samples: dict[int, dict[str, Any]] = {}
        self._missing = max(1, len(getattr(self._runner, "clients", ())))
        self._all_here = Signal()
        self._phase = Phase.WARMING_UP
        self._before = self._server_stats()
        self._watching = [gevent.spawn(self._watch_server), gevent.spawn(self._tell_progress)]
        if options.duration is not None:
            gevent.spawn_later(self._settings.warmup + options.duration, self._end)

    def _end(self) -> None:
        headless = self._environment.parsed_options.headless
        self._runner.quit() if headless else self._runner.stop()

    # From the producers

    def _on_seconds(self, msg: Message, **_: Any) -> None:
        for number, data in (msg.data or {}).items():
            self._seconds.setdefault(number, Second()).add(Second.model_validate(data))

    def _on_tally(self, msg: Message, **_: Any) -> None:
        self._tally.add(Tally.model_validate(msg.data))
        self._missing -= 1
        if not self._missing:
            self._all_here.set()

    # While it runs

    def _watch_server(self) -> None:
        while True:
            stats = self._server_stats()
            if stats:
                self._samples[int(clock() - self._start)] = stats
            gevent.sleep(1.0)

    def _server_stats(self) -> dict[str, Any]:
        try:
            return self._rest.stats()
        except RestError:
            return {}

    def _tell_progress(self) -> None:
        while True:
            gevent.sleep(1.0)
            if self._phase is Phase.WARMING_UP and clock() - self._start >= self._settings.warmup:
                self._phase = Phase.MEASURING
            self._write_progress()

    def _write_progress(self) -> None:
        descriptor = self._environment.parsed_options.progress_fd
        if descriptor is None:
            return
        seconds = list(self._seconds.values())
        newest = max(self._seconds, default=None)
        progress = Progress(
            phase=self._phase,
            t=clock() - self._start,
            users=self._runner.user_count,
            sent=sum(second.sent for second in seconds),
            acked=sum(second.acked for second in seconds),
            nacked=sum(second.nacked for second in seconds),
            deliveries=sum(second.delivered for second in seconds),
            errors=sum(second.errors for second in seconds),
            last=None if newest is None else point(newest, self._seconds[newest], self._newest_sample()),
        )
        os.write(descriptor, progress.model_dump_json().encode() + b"\n")

    def _newest_sample(self) -> dict[str, Any] | None:
        return self._samples[max(self._samples)] if self._samples else None

    # The end

    def _on_stopping(self, **_: Any) -> None:
        ran = clock() - self._start
        self._phase = Phase.SETTLING
        self._runner.send_message(_FINISH)
        self._all_here.wait(_FINISH_TIMEOUT)
        gevent.killall(self._watching)
        result = judge(
            Evidence(
                scenario=scenario_of(self._environment),
                settings=self._settings,
                slos=self._objectives(),
                tally=self._tally,
                missing_processes=self._missing,
                seconds=self._seconds,
                samples=self._samples,
                before=self._before,
                after=self._server_stats(),
                started_at=self._started_at,
                ran=ran,
                machine=describe_machine(),
            )
        )
        self._environment.process_exit_code = result.exit_code
        self._report(result)
        self._phase = Phase.DONE
        self._write_progress()

    def _report(self, result: Result) -> None:
        options = self._environment.parsed_options
        for path in options.report:
            reports.write(result, path)
        if options.progress_fd is None:
            print_result(result, Console(highlight=False))

    def _objectives(self) -> list[slo.SLO]:
        given = self._environment.parsed_options.slo or scenario_of(self._environment).slos
        return [slo.parse(expression) for expression in given]

    def _on_quitting(self, **_: Any) -> None:
        """Interrupted: Locust decides on its exit code before it stops the test."""
        self._runner.stop()


@events.init.add_listener
def _on_init(environment: Environment, **_: Any) -> None:
    if not isinstance(environment.runner, WorkerRunner):
        Collector(environment)
    if not isinstance(environment.runner, MasterRunner):
        Producer(environment)


events.init_command_line_parser.add_listener(add_arguments)
