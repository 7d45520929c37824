"""How a command says that it could not do what was asked."""

FAILED = 1
MISUSED = 2


class CommandError(Exception):
    """The lines for standard error, usually one, and the exit code: FAILED or MISUSED."""

    def __init__(self, *lines: str, exit_code: int = FAILED) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines
        self.exit_code = exit_code
