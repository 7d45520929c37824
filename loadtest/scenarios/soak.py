"""soak: a mix of everything for as long as wished; memory and latency stay flat."""

import gevent
from locust import task

from loadtest.users import ChatUser


class SoakUser(ChatUser):
    scenario = "soak"

    @task(60)
    def say_something(self) -> None:
        self.say(self.any_device)

    @task(39)
    def hear_from_the_ai(self) -> None:
        if self.generator.sending:
            gevent.spawn(self.room.hear, self.due)

    @task(1)
    def lose_a_connection(self) -> None:
        self.cut(self.any_device)
