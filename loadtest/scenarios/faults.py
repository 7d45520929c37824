"""faults: one of our own servers meets what servers meet (`loadtest.faults.of_server`), and loses nothing.

Meanwhile connections are cut and reset at random, as in `reconnect`.
"""

from locust import task

from loadtest.users import ChatUser


class FaultsUser(ChatUser):
    scenario = "faults"

    @task(19)
    def say_something(self) -> None:
        self.say(self.any_device)

    @task(1)
    def lose_a_connection(self) -> None:
        self.cut(self.any_device)
