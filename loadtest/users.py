"""The Locust user from which the scenarios' users descend: one chat user with some devices."""

import random
from typing import Any, ClassVar

from locust import User

from chatctl.client.outgoing import Outgoing
from loadtest import swarm as swarm  # its listeners make Locust a chat load test
from loadtest.arrivals import Arrivals
from loadtest.device import Device, clock
from loadtest.generator import Generator, Room
from server.protocol import RateLimit


class ChatUser(User):
    """Opens its room, then does its tasks when they are due: an open model."""

    abstract = True
    scenario: ClassVar[str]
    keeps_limits: ClassVar[bool] = True

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.generator: Generator = environment.generator
        self.due = 0.0

    def on_start(self) -> None:
        self.room = self.open_room()
        self.sender = self.room.devices[0]
        self.arrivals = self._arrivals()
        self.wait()

    def open_room(self) -> Room:
        return self.generator.open_room(self.generator.settings.devices)

    def wait_time(self) -> float:
        self.due = self.arrivals.next()
        return max(0.0, self.due - clock())

    def say(self, device: Device) -> Outgoing | None:
        """Sends the message that is due now; None when the run is ending."""
        return self.room.say(device, self.due) if self.generator.sending else None

    def cut(self, device: Device) -> None:
        """Breaks its connection; not when the run is ending."""
        if self.generator.sending:
            device.cut()

    @property
    def any_device(self) -> Device:
        return random.choice(self.room.devices)

    @property
    def limit(self) -> RateLimit | None:
        """What the welcome told of the user's rate limit."""
        return self.sender.limit

    def _arrivals(self) -> Arrivals:
        asked = self.generator.settings.rate_per_user
        limit = self.limit if self.keeps_limits else None
        arrivals = Arrivals(asked, clock(), random.Random(), limit)
        if arrivals.rate < asked:
            allowed = f"{arrivals.rate:.2g} messages/s a user, not {asked:.2g}"
            self.generator.note(f"the server's rate limit allows {allowed}")
        return arrivals
