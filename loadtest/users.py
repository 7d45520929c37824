"""The Locust user from which the scenarios' users descend: one chat user with some devices."""

import random
from typing import Any, ClassVar

from locust import User

from loadtest import swarm as swarm  # its listeners make Locust a chat load test
from loadtest.arrivals import Arrivals
from loadtest.device import Device, clock
from loadtest.generator import Generator


class ChatUser(User):
    """Opens its room, then does its tasks when they are due: an open model."""

    abstract = True
    scenario: ClassVar[str]

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.generator: Generator = environment.generator
        self.due = 0.0

    def on_start(self) -> None:
        self.room = self.generator.open_room(self.generator.settings.devices)
        self.sender = self.room.devices[0]
        self.arrivals = self._arrivals()
        self.wait()

    def wait_time(self) -> float:
        self.due = self.arrivals.next()
        return max(0.0, self.due - clock())

    def say(self, device: Device) -> None:
        """Sends the message that is due now."""
        if self.generator.sending:
            self.room.say(device, self.due)

    def _arrivals(self) -> Arrivals:
        asked = self.generator.settings.rate_per_user
        arrivals = Arrivals(asked, clock(), random.Random(), self.sender.limit)
        if arrivals.rate < asked:
            self.generator.note(
                f"the server's rate limit allows {arrivals.rate:.2g} messages/s a user, not {asked:.2g}"
            )
        return arrivals
