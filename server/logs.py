"""Structured logs on stderr: for people on a terminal, JSON lines for machines."""

import logging
import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog
from structlog.tracebacks import ExceptionDictTransformer


class _StandardError:
    """What cannot be written (a full disk, a pipe that nobody reads) is lost: nothing fails because of it."""

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def configure_logs(level: str, format: str) -> None:
    """`format`: "auto" is console on a terminal and JSON lines otherwise."""
    is_console = format == "console" or (format == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering = _console() if is_console else _json()
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(_StandardError()),  # type: ignore[arg-type]  # all it uses
    )
    # uvicorn and asyncio write through the standard library; only their warnings matter to an operator.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(
        level=max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]), handlers=[handler]
    )


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
