"""storm: every ten seconds all devices of all users lose their connections at the same moment."""

import gevent
from locust import task

from loadtest.device import clock
from loadtest.plan import BACK_IN_TIME
from loadtest.users import ChatUser

INTERVAL = 10.0
BOUND = 15.0


class StormUser(ChatUser):
    scenario = "storm"

    def on_start(self) -> None:
        gevent.spawn(self.meet_storms)
        super().on_start()

    @task
    def say_something(self) -> None:
        self.say(self.any_device)

    def meet_storms(self) -> None:
        """Storms are at the same times for all users: counted from the end of the warm-up."""
        next_storm = self.generator.recorder.measure_from
        while self.generator.sending:
            gevent.sleep(max(0.0, next_storm - clock()))
            next_storm += INTERVAL
            for device in self.room.devices if self.generator.sending else ():
                device.cut()
                gevent.spawn(self.expect_back, device.welcomed)

    def expect_back(self, welcomed: gevent.event.Event) -> None:
        if not welcomed.wait(BOUND):
            self.generator.violated(BACK_IN_TIME, f"{self.room.user_id} has a device that is not")
