"""reconnect: connections are cut at random and resumed with last_seq; nobody misses or repeats a message."""

from locust import task

from loadtest.users import ChatUser


class ReconnectUser(ChatUser):
    scenario = "reconnect"

    @task(9)
    def say_something(self) -> None:
        self.say(self.any_device)

    @task(1)
    def lose_a_connection(self) -> None:
        self.cut(self.any_device)
