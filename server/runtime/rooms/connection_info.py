"""Who a connection is, and what is counted of it."""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class ConnectionInfo:
    """Describe one connection. Times are monotonic seconds but for `connected_at`, ms since the epoch."""

    connection_id: str
    user_id: str
    conversation_id: str
    client_id: str
    session_id: str
    ip: str
    connected_at: int
    opened: float
    last_heartbeat: float
    last_ping: float
    last_writable: float  # when the device was last seen to have read what was written to it
    reconnects: int = 0
    expires: float = math.inf  # of its token, in seconds since the epoch
    sent: int = 0
    received: int = 0

    def context(self) -> dict[str, str]:
        """Return what events, errors and logs say of a connection."""
        return {
            "user_id": self.user_id,
            "conversation_id": self.conversation_id,
            "client_id": self.client_id,
            "session_id": self.session_id,
            "connection_id": self.connection_id,
        }
