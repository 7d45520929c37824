"""Structured logs on stderr: for people on a terminal, JSON lines for machines."""

import atexit
import logging
import os
import sys
from collections.abc import MutableMapping
from functools import partial
from typing import Any, Final

import structlog
from structlog.tracebacks import ExceptionDictTransformer

from server.log_writer import LogWriter

_STANDARD_ERROR: Final = 2
_GOODBYE_SECONDS: Final = 0.5  # for the last lines, where nobody reads


def configure_logs(level: str, format: str) -> None:
    """Sends structlog's and the standard library's logs to stderr; nobody who logs ever waits.

    `format`: "auto" is console on a terminal and JSON lines otherwise. Call it once in each process.
    """
    is_console = format == "console" or (format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering = _console() if is_console else _json()
    writer = LogWriter(_STANDARD_ERROR, partial(_describe_loss, [*shared, *rendering]))
    atexit.register(writer.finish, _GOODBYE_SECONDS)
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(writer),  # type: ignore[arg-type]  # all it uses
    )
    # uvicorn and asyncio write through the standard library; only their warnings matter to an operator.
    handler = logging.StreamHandler(writer)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(
        level=max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]), handlers=[handler]
    )


def _describe_loss(processors: list[Any], count: int) -> str:
    """Renders the line that stands where lines are missing."""
    event: Any = {"event": "log lines were lost: nobody read them", "lines": count}
    for process in processors:
        event = process(None, "warning", event)
    return f"{event}\n"


def escape_control_characters(
    logger: object, method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """What others wrote moves no cursor and starts no line of its own on an operator's terminal."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            kept = "\n" if key == "exception" else ""
            event[key] = "".join(c if c.isprintable() or c in kept else ascii(c)[1:-1] for c in value)
    return event


# Stacks go without local variables: those hold messages and tokens.
def _console() -> list[Any]:
    has_colors = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return [
        structlog.processors.format_exc_info,
        escape_control_characters,
        structlog.dev.ConsoleRenderer(colors=has_colors, exception_formatter=structlog.dev.plain_traceback),
    ]


def _json() -> list[Any]:
    stacks = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [stacks, structlog.processors.JSONRenderer()]
