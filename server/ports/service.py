"""Declares how an application's own service hears of what happens."""

from typing import Any, Protocol


class Notifier(Protocol):
    """Tells the application's service of events."""

    async def notify(self, event: str, data: dict[str, Any], event_id: str) -> None:
        """Tell it once. `event_id` is the same where the same event is told again.

        Raises ResponderFailed where the service did not take it.
        """
        ...
