"""Standard input, output and error as whoever started the process left them: open, closed, or unread."""

import os
import sys


def open_closed_streams() -> None:
    """Puts /dev/null in the place of those that are closed. Call it before anything else is opened.

    Otherwise the next file or socket would get their number: libuv aborts over that, and what is printed
    would go into a database.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    # Python has no object for a stream that was closed.
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def abandon_output() -> None:
    """Sends standard output to nowhere: whoever read it has seen enough, and no flush may fail for that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
