"""cluster: devices of one user on different nodes; connections move between nodes, and everything fails.

Each user says the last thing at a time of its own, so that whatever fails meets some conversations at
their end: what was said last, nothing that follows can bring to light.
"""

import random

from locust import task

from loadtest.device import clock
from loadtest.plan import ONE_CONNECTION
from loadtest.users import ChatUser

_EARLIEST = 0.3  # of the measured time


class ClusterUser(ChatUser):
    scenario = "cluster"

    def on_start(self) -> None:
        seconds = self.generator.settings.duration or 0.0
        self.silent_from = self.generator.recorder.measure_from + seconds * random.uniform(_EARLIEST, 1.0)
        super().on_start()

    @task(26)
    def say_something(self) -> None:
        if clock() < self.silent_from:
            self.say(self.any_device)

    @task(1)
    def lose_a_connection(self) -> None:
        self.cut(self.any_device)

    @task(1)
    def change_the_network(self) -> None:
        if not self.generator.sending:
            return
        watch = self.any_device.move(lambda how: self.generator.violated(ONE_CONNECTION, how))
        if watch is not None:
            self.generator.wait_for(watch)
