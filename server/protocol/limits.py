"""How much the REST API gives at once."""

from typing import Final

MAX_PAGE: Final = 200
"""Messages in one page of a history."""

MAX_LISTED: Final = 1000
"""Items in any other list: conversations, connections, events, errors."""
