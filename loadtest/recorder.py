"""Counts and latencies of one process as they happen: in total, and second by second."""

from collections.abc import Callable

from loadtest.tally import Second, Tally

Listener = Callable[[str, float, str | None], None]
"""Told of each answer and delivery: what it was, its latency in ms, and the NACK's code."""


class Recorder:
    """`start` and `measure_from`, the end of the warm-up, are of the same clock as all times, in seconds."""

    def __init__(self, start: float, measure_from: float, listener: Listener) -> None:
        self.start = start
        self.measure_from = measure_from
        self.tally = Tally()
        self.last_sign = start  # when the server last answered or delivered
        self._listener = listener
        self._seconds: dict[int, Second] = {}

    def sent(self, due: float, now: float) -> None:
        self._second(now).sent += 1
        self.tally.measured_sent += due >= self.measure_from

    def acked(self, due: float, now: float) -> None:
        self.last_sign = now
        second = self._second(now)
        second.acked += 1
        second.ack.record(now - due)
        if due >= self.measure_from:
            self.tally.ack.record(now - due)
        self._listener("ACK", (now - due) * 1e3, None)

    def nacked(self, due: float, code: str, now: float) -> None:
        self.last_sign = now
        self._second(now).nacked += 1
        self._listener("ACK", (now - due) * 1e3, code)

    def delivered(self, due: float, now: float) -> None:
        self.last_sign = now
        second = self._second(now)
        second.delivered += 1
        second.delivery.record(now - due)
        if due >= self.measure_from:
            self.tally.delivery.record(now - due)
            self.tally.measured_deliveries += 1
        self._listener("delivery", (now - due) * 1e3, None)

    def piece_shown(self, due: float, now: float) -> None:
        """A piece of an answer has reached a device."""
        self.last_sign = now
        if due >= self.measure_from:
            self.tally.piece.record(now - due)
        self._listener("piece", (now - due) * 1e3, None)

    def silenced(self, after: float, now: float) -> None:
        """A device has seen the end of a cancelled answer, so many seconds after the cancel."""
        if now - after >= self.measure_from:
            self.tally.silence.record(after)

    def sign_of_life(self, now: float) -> None:
        """Something of the server's came."""
        self.last_sign = now

    def error(self, text: str, now: float) -> None:
        self._second(now).errors += 1
        self.tally.errors[text] += 1

    def disconnected(self, code: int, reason: str, now: float) -> None:
        """A connection ended, or could not be made, without the test's doing."""
        self.tally.disconnects[str(code)] += 1
        self.error(f"connection closed: {code} {reason}".rstrip(), now)

    def reconnected(self, resumed: bool, left_at: float, now: float) -> None:
        self.tally.reconnects += 1
        self.tally.reconnect.record(now - left_at)
        if not resumed:
            self.error("reconnected with its session_id, but not resumed", now)

    def finished_seconds(self, now: float) -> dict[int, Second]:
        """The seconds since the start that are over at `now` and were not yet given out."""
        over = [number for number in self._seconds if number + 1 <= now - self.start]
        return {number: self._seconds.pop(number) for number in over}

    def _second(self, now: float) -> Second:
        number = int(now - self.start)
        second = self._seconds.get(number)
        if second is None:
            second = self._seconds[number] = Second()
        return second
