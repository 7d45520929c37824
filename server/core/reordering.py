"""Messages that come before those they follow: kept until the others are there, or given up."""


class Early:
    """Messages of one conversation above a hole. The newest that was delivered is the caller's to know."""

    __slots__ = ("_frames", "newest")

    def __init__(self) -> None:
        self._frames: dict[int, bytes] = {}  # by seq
        self.newest = 0  # that is known to be saved

    def add(self, seq: int, frame: bytes) -> None:
        """Keep a message."""
        self._frames[seq] = frame
        self.expect(seq)

    def expect(self, seq: int) -> None:
        """Note that everything up to seq is saved, whoever may bring it."""
        self.newest = max(self.newest, seq)

    def take(self, delivered: int) -> list[bytes]:
        """Return what follows `delivered` without a hole, in order; older ones are forgotten."""
        ready: list[bytes] = []
        while (frame := self._frames.pop(delivered + len(ready) + 1, None)) is not None:
            ready.append(frame)
        return ready
