"""One of a machine's worker processes: `python -m server.worker`, as `server.supervisor` starts it."""

import pickle
import sys

from server.serving import serve_node


def main() -> int:
    """Serve as the supervisor's standard input says; the exit code."""
    settings, place = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the process that started this one
    return serve_node(settings, place)


if __name__ == "__main__":
    sys.exit(main())
