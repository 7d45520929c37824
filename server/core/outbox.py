"""What waits for a device that does not read fast enough, bounded in frames and in bytes."""

from typing import Final

# A device may be behind by this much however large its frames are: 256 frames of the longest text
# would otherwise hold 12 MiB.
MAX_OUTBOX_BYTES: Final = 1 << 20


class Signal(bytes):
    """A frame that is worth nothing later; a newer one with the same key makes it superfluous."""

    key: tuple[str, ...]

    def __new__(cls, frame: bytes, *key: str) -> "Signal":
        signal = super().__new__(cls, frame)
        signal.key = key
        return signal

    def absorb(self, older: "Signal") -> "Signal":
        """Return what stands for both this one and an older one with the same key."""
        return self


class Outbox:
    """Frames in the order in which they were offered. Only saved messages and answers are sure to stay."""

    __slots__ = ("_frames", "_size")

    def __init__(self) -> None:
        self._frames: list[bytes] = []
        self._size = 0  # bytes

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frames: list[bytes], max_frames: int) -> bool:
        """False when more would wait than may, even without the signals that can be spared."""
        self._frames += frames
        self._size += sum(map(len, frames))
        if self._is_over(max_frames):
            self._drop_superseded()
        if self._is_over(max_frames):
            self._keep([frame for frame in self._frames if not isinstance(frame, Signal)])
        return not self._is_over(max_frames)

    def take(self) -> bytes:
        """All of it, to be written at once; the outbox is empty then."""
        frames, self._frames, self._size = self._frames, [], 0
        return b"".join(frames)

    def _is_over(self, max_frames: int) -> bool:
        return len(self._frames) > max_frames or self._size > MAX_OUTBOX_BYTES

    def _drop_superseded(self) -> None:
        """Leave one signal of each key, where the newest of them stood."""
        merged: dict[tuple[str, ...], Signal] = {}
        last: dict[tuple[str, ...], int] = {}
        for position, frame in enumerate(self._frames):
            if isinstance(frame, Signal):
                older = merged.get(frame.key)
                merged[frame.key] = frame if older is None else frame.absorb(older)
                last[frame.key] = position
        self._keep(
            [
                merged[frame.key] if isinstance(frame, Signal) else frame
                for position, frame in enumerate(self._frames)
                if not isinstance(frame, Signal) or last[frame.key] == position
            ]
        )

    def _keep(self, frames: list[bytes]) -> None:
        self._frames = frames
        self._size = sum(map(len, frames))
