"""What waits to be written to one device, bounded in frames and in bytes."""

from typing import Final

# A device may be behind by this much however large its frames are: 256 frames of the largest text
# would otherwise hold 12 MiB.
MAX_OUTBOX_BYTES: Final = 1 << 20


class Signal:
    """A frame that is worth nothing later; a newer one with the same key makes it superfluous."""

    __slots__ = ("frame", "key")

    def __init__(self, key: tuple[str, ...], frame: bytes) -> None:
        self.key = key
        self.frame = frame

    def __len__(self) -> int:
        return len(self.frame)


class Outbox:
    """Frames in the order in which they were offered. Only saved messages and answers are sure to stay."""

    __slots__ = ("_frames", "_has_signals", "size")

    def __init__(self) -> None:
        self._frames: list[bytes | Signal] = []
        self._has_signals = False
        self.size = 0  # bytes

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frame: bytes) -> None:
        self._frames.append(frame)
        self.size += len(frame)

    def add_signal(self, signal: Signal) -> None:
        self._frames.append(signal)
        self._has_signals = True
        self.size += len(signal)

    def exceeds(self, max_frames: int) -> bool:
        """Whether more waits than may wait; signals that can be spared are dropped to get below."""
        if not self._is_over(max_frames):
            return False
        if self._has_signals:
            self._drop_superseded()
            if self._is_over(max_frames):
                self._keep([f for f in self._frames if not isinstance(f, Signal)])
                self._has_signals = False
        return self._is_over(max_frames)

    def take(self) -> bytes:
        """All of it, to be written at once; the outbox is empty then."""
        frames = self._frames
        if self._has_signals:
            frames = [f.frame if isinstance(f, Signal) else f for f in frames]
            self._has_signals = False
        self._frames = []
        self.size = 0
        return b"".join(frames) if len(frames) != 1 else frames[0]  # type: ignore[arg-type, return-value]

    def _is_over(self, max_frames: int) -> bool:
        return len(self._frames) > max_frames or self.size > MAX_OUTBOX_BYTES

    def _drop_superseded(self) -> None:
        newest = {f.key: f for f in self._frames if isinstance(f, Signal)}
        self._keep([f for f in self._frames if not isinstance(f, Signal) or newest[f.key] is f])

    def _keep(self, frames: list[bytes | Signal]) -> None:
        self._frames = frames
        self.size = sum(map(len, frames))
