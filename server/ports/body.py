"""The port of a request's body that is handed on as it comes, without a task that waits for it."""

from collections.abc import Callable
from typing import Final, Protocol

# The ASGI extension by which a server offers it: `scope["extensions"][EXTENSION]["attach"]` is an `Attach`.
# Where there is none, the body is read by `receive`, as ever.
EXTENSION: Final = "chatctl.body"


class BodySink(Protocol):
    """Takes a body piece by piece, on the event loop. None of these may raise."""

    def on_data(self, data: bytes) -> None:
        """Take the next bytes."""

    def on_end(self) -> None:
        """Hear that all of the body has come."""

    def on_cut(self) -> None:
        """Hear that the connection was lost before the body's end."""


# Hands the body to the sink from now on, with what had come before; None: `receive` gets it again.
Attach = Callable[[BodySink | None], None]
