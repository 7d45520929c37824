"""fanout: one device of each user sends; all of the user's devices get every message once and in order."""

from locust import task

from loadtest.users import ChatUser


class FanoutUser(ChatUser):
    scenario = "fanout"

    @task
    def say_something(self) -> None:
        self.say(self.sender)
