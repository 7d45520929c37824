"""What a peer may take of us before it is refused or cut."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    max_message_size: int
    max_headers: int = 100
    max_head_size: int = 16384  # request line and headers
    head_seconds: float = 10.0  # from the connection, or a request's first byte, to the end of its headers
    close_seconds: float = 10.0  # for the peer to answer a close frame; then the socket is cut
    linger_seconds: float = 2.0  # for a peer that broke the protocol to read why
