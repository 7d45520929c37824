"""Entry point: exit code 0 done, 1 the thing asked for failed, 2 usage or configuration."""

import os
import sys
from collections.abc import Sequence

import typer

from chatctl.cli import app
from chatctl.endings import signals_end_in_order
from chatctl.failure import FAILED, CommandError
from chatctl.text import printable
from server.standard_streams import abandon_output, open_closed_streams

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; whatever goes wrong is one line on standard error, never a traceback."""
    open_closed_streams()
    try:
        with signals_end_in_order():
            code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        abandon_output()
        return FAILED
    except OSError as error:  # a full disk, say
        abandon_output()
        return _told(FAILED, f"cannot write the output: {error.strerror}")
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="chatctl", standalone_mode=False)
    except CommandError as failure:
        return _told(failure.exit_code, *failure.lines)
    except typer.TyperException as misuse:
        return _misused(misuse)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _told(FAILED, f"{where}{error.strerror or error}")
    except Exception as error:
        if "CHATCTL_TRACEBACK" in os.environ:
            raise
        return _told(FAILED, f"internal error: {error!r} (CHATCTL_TRACEBACK=1 shows where)")
    return result if isinstance(result, int) else 0


def _misused(misuse: typer.TyperException) -> int:
    context = getattr(misuse, "ctx", None)
    if type(misuse).__name__ == "NoArgsIsHelpError":
        print(misuse.format_message(), file=sys.stderr)
        return misuse.exit_code
    hint = f" (chatctl{context.command_path.removeprefix('chatctl')} --help tells how)" if context else ""
    # Where a value is not one of several, the parser says so in the words of the library beneath it.
    return _told(misuse.exit_code, misuse.format_message().replace("Value error, ", "") + hint)


def _told(exit_code: int, *lines: str) -> int:
    for line in lines:
        print(f"chatctl: {printable(line)}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
