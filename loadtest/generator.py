"""One process's share of the load: its users' rooms, from the first connection to the judged ledgers."""

import random
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import gevent
from gevent import Greenlet
from gevent.pool import Pool

from chatctl.client.backoff import Backoff
from chatctl.client.outgoing import Outgoing
from chatctl.client.session import Session
from loadtest.credentials import Credentials
from loadtest.device import Device, clock
from loadtest.ledger import Ledger, Stored
from loadtest.pieces import Pieces
from loadtest.plan import SCENARIOS, Settings
from loadtest.recorder import Listener, Recorder
from loadtest.rest import Frame, Rest, RestError
from loadtest.tally import Tally
from server.protocol import MessageType

_TICK: Final = 0.01
_DEVICE_TICK: Final = 1.0
_SPOT_CHECK_INTERVAL: Final = 0.5

# Two ACK time-outs of the protocol, one resend between them, and a reconnect at the backoff's cap.
_PATIENCE: Final = 50.0
# A doubled frame comes right behind the first; a reordered one overtakes by less.
_AFTERMATH: Final = 0.5

_READERS: Final = 4
_STREAM_PIECES: Final = 20
_PIECE_INTERVAL: Final = 0.025  # seconds: 40 words a second, as models write
_TEXT_LENGTH: Final = 120
_PATIENT: Final = Backoff(cap=5.0)

Examine = Callable[[list[Frame]], None]
"""A scenario's own look at the history of a room, at the end."""


class Room:
    """A user's conversation, the devices in it, and its ledger."""

    def __init__(self, name: str, devices: int, generator: "Generator", examine: Examine | None) -> None:
        self.user_id = generator.credentials.user_id(f"user-{name}")
        self.conversation_id = f"conv-{name}"
        self.ledger = Ledger(self.conversation_id, generator.scenario.has_service)
        self.pieces = Pieces(generator.violated, generator.scenario.has_service)
        self.examine = examine
        self._generator = generator
        self._name = name
        self._sent = 0
        self._token = generator.credentials.token_of(self.user_id)
        self.devices: list[Device] = []
        for number in range(devices):
            self.devices.append(self._device(number))

    @property
    def is_answered(self) -> bool:
        """Whether no answer is to be waited for."""
        return self.ledger.is_answered or all(device.is_over for device in self.devices)

    def say(self, device: Device, due: float) -> Outgoing:
        """Sends the next message from the device."""
        message_id, text = self.next_message()
        return device.say(message_id, text, due)

    def next_message(self) -> tuple[str, str]:
        """A message_id and a text that no other message of the run has."""
        self._sent += 1
        message_id = f"{self._name}-{self._sent}"
        return message_id, f"{message_id} ".ljust(_TEXT_LENGTH, ".")

    def hear(self, due: float) -> None:
        """Lets the AI say the next message, through the REST API."""
        message_id, text = self.next_message()
        self._generator.post_as_ai(self, message_id, text, due)

    def read_along(self, due: float, is_stopped: bool) -> None:
        """Lets the AI write the next message piece by piece; `is_stopped`: until a device stops it."""
        message_id, _ = self.next_message()
        self._generator.stream_as_ai(self, message_id, due, is_stopped)

    def _device(self, number: int) -> Device:
        session = Session(
            self.user_id,
            self.conversation_id,
            client_id=f"{self._name}-device{number}",
            token=self._token,
            backoff=_PATIENT,
        )
        return self._generator.device(f"device{number}", session, self)


class Generator:
    """Begins with `open_room`, ends with `finish`; between them it ticks by itself.

    `name` makes ids of this process unlike those of the others.
    """

    def __init__(self, settings: Settings, name: str, listener: Listener, credentials: Credentials) -> None:
        self.settings = settings
        self.scenario = SCENARIOS[settings.scenario]
        self.credentials = credentials
        self.rooms: list[Room] = []
        self.sending = True
        start = clock()
        self.recorder = Recorder(start, start + settings.warmup, listener)
        first, *others = settings.origins
        self.rest = Rest(first, credentials.api_key, others=others)
        self._name = f"{settings.run_id}-{name}"
        self._next_spot_check = start
        self._cpu = _CpuMeter()
        self._ticker = gevent.spawn(self._tick)
        self._watches: list[Greenlet] = []

    def open_room(self, devices: int, examine: Examine | None = None) -> Room:
        """Open a new user's room; waits until all its devices are let in or refused, or that is overdue."""
        room = Room(f"{self._name}-{len(self.rooms)}", devices, self, examine)
        self.rooms.append(room)
        gevent.wait([device.answered for device in room.devices], timeout=_PATIENCE)
        return room

    def post_as_ai(self, room: Room, message_id: str, text: str, due: float) -> None:
        room.ledger.note_sent(None, message_id, text, due, clock())
        self.recorder.sent(due, clock())
        if self._posted(room, message_id, lambda: self.rest.send_ai(room.conversation_id, message_id, text)):
            self.recorder.acked(due, clock())

    def stream_as_ai(self, room: Room, message_id: str, due: float, is_stopped: bool) -> None:
        words = [f"{message_id} ", *(f"word{number} " for number in range(_STREAM_PIECES - 1))]
        text = "".join(words).rstrip()
        room.ledger.note_sent(None, message_id, text, due, clock(), may_be_cut=is_stopped)
        room.pieces.begin(message_id, text)
        self.recorder.sent(due, clock())
        pieces = self._pace(room, message_id, [*words[:-1], words[-1].rstrip()], due, is_stopped)
        self._posted(room, message_id, lambda: self.rest.stream_ai(room.conversation_id, message_id, pieces))

    def _pace(
        self, room: Room, message_id: str, words: list[str], due: float, is_stopped: bool
    ) -> Iterator[str]:
        """Yields each word when it is due, until the answer is over; a device may stop it midway."""
        end = 0
        for number, word in enumerate(words):
            word_due = due + number * _PIECE_INTERVAL
            gevent.sleep(max(0.0, word_due - clock()))
            if room.pieces.is_over(message_id):
                return
            if is_stopped and number == len(words) // 2 and room.pieces.is_shown(message_id):
                random.choice(room.devices).stop(message_id)
            end += len(word)
            room.pieces.wrote(message_id, end, word_due)
            yield word

    def _posted(self, room: Room, message_id: str, post: Callable[[], dict[str, Any]]) -> bool:
        """Posts the AI's message; whether it was ACKed for the first time."""
        try:
            ack = post()
        except RestError as error:
            if error.code is not None:
                room.ledger.note_nack(message_id, error.code, clock())
            self.recorder.error(str(error), clock())
            return False
        return room.ledger.note_ack(message_id, ack.get("seq"), clock()) is not None

    def note(self, text: str) -> None:
        """Something that the reader of the result should know."""
        self.recorder.tally.notes[text] += 1

    def unfit(self, reason: str) -> None:
        """The scenario cannot say anything about this server."""
        self.recorder.tally.unfit[reason] += 1

    def violated(self, invariant: str, how: str) -> None:
        """One of the scenario's invariants is broken."""
        self.recorder.tally.violations.setdefault(invariant, []).append(how)

    def device(self, name: str, session: Session, room: Room) -> Device:
        origins = self._origins(len(room.devices))
        ledger, pieces = room.ledger, room.pieces
        return Device(name, session, ledger, self.recorder, self.rest, origins, self._spot_check, pieces)

    def _origins(self, number: int) -> Iterator[str]:
        """Yields where the device with that number connects to: first to its own node, then to any."""
        nodes = self.settings.origins
        yield nodes[number % len(nodes)]
        while True:
            yield random.choice(nodes)

    def finish(self) -> Tally:
        """Waits for what is under way, closes everything, reads the histories, judges."""
        self.sending = False
        tally = self.recorder.tally
        self._cpu.stop(tally)
        self._settle()
        self._ticker.kill()
        tally.users, tally.devices = len(self.rooms), len(self._devices)
        tally.welcomed = sum(device.session.welcome is not None for device in self._devices)
        Pool(100).map(Device.close, self._devices)
        Pool(_READERS).map(self._judge, self.rooms)
        for room in self.rooms:
            tally.add_ledger(room.ledger)
        self.rest.close()
        return tally

    @property
    def _devices(self) -> list[Device]:
        return [device for room in self.rooms for device in room.devices]

    def wait_for(self, watch: Greenlet) -> None:
        """Let the run not end before this greenlet has."""
        self._watches = [each for each in self._watches if not each.ready()] + [watch]

    # While it runs

    def _tick(self) -> None:
        """Measures how late this process is, and lets the sessions look at the time."""
        next_devices = clock() + _DEVICE_TICK
        while True:
            due = clock() + _TICK
            gevent.sleep(_TICK)
            now = clock()
            if self.sending and now >= self.recorder.measure_from:
                self._cpu.start()
                self.recorder.tally.generator.lag.record(now - due)
            if now >= next_devices:
                next_devices = now + _DEVICE_TICK
                for device in self._devices:
                    device.tick(now)

    def _spot_check(self, ledger: Ledger, message_id: str, seq: int) -> None:
        """Each room's first message, and now and then one, right after its ACK: is it there?

        The histories at the end do not show that an ACK came before the save.
        """
        now = clock()
        if ledger.acked == 1 or now >= self._next_spot_check:
            self._next_spot_check = now + _SPOT_CHECK_INTERVAL
            gevent.spawn(self._ask_for, ledger, message_id, seq)

    def _ask_for(self, ledger: Ledger, message_id: str, seq: int) -> None:
        try:
            frames = self.rest.page(ledger.conversation_id, seq - 1, 1)
        except RestError as error:
            self.recorder.error(str(error), clock())
            return
        if [frame["message_id"] for frame in frames] != [message_id]:
            ledger.note_absent(message_id, seq)

    # The end

    def _settle(self) -> None:
        began = clock()
        while (now := clock()) < began + _PATIENCE:
            settled = (
                all(room.is_answered for room in self.rooms)
                and all(device.is_settled for device in self._devices)
                and all(watch.ready() for watch in self._watches)
            )
            quiet = now - max(began, self.recorder.last_sign)
            if settled and (quiet > self.scenario.silence or self._is_all_here(quiet)):
                break
            gevent.sleep(0.05)
        gevent.sleep(_AFTERMATH)

    def _is_all_here(self, quiet: float) -> bool:
        """Whether nothing is awaited, and nothing has come for as long as what nobody announces may take."""
        return quiet >= self.scenario.lull and all(room.ledger.is_delivered for room in self.rooms)

    def _judge(self, room: Room) -> None:
        """Reads the room's history page by page; only a scenario's own examination needs it as a whole."""
        room.pieces.judge()
        try:
            if room.examine is None:
                room.ledger.judge(map(_stored, self.rest.history(room.conversation_id)))
                return
            frames = list(self.rest.history(room.conversation_id))
        except RestError as error:
            self.recorder.tally.unread[str(error)] += 1
            return
        room.ledger.judge(map(_stored, frames))
        room.examine(frames)


class _CpuMeter:
    """The process's CPU and wall time between two moments."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def start(self) -> None:
        self._began = self._began or (time.process_time(), clock())

    def stop(self, tally: Tally) -> None:
        load = tally.generator
        load.processes = 1
        load.rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if self._began is not None:
            load.cpu_seconds = time.process_time() - self._began[0]
            load.wall_seconds = clock() - self._began[1]


def _stored(frame: Frame) -> Stored:
    is_ais = frame.get("type") == MessageType.AI_RESPONSE
    return Stored(frame["seq"], frame["message_id"], frame["data"], is_ais)
