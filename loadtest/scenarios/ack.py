"""ack: messages arrive at a fixed rate, whatever the server does; every one is answered.

Arrivals do not wait for answers, and latencies count from when a message was due: a server that stalls for
a second shows in the tail as often as users would have met it.
"""

from locust import task

from loadtest.users import ChatUser


class AckUser(ChatUser):
    scenario = "ack"

    @task
    def say_something(self) -> None:
        self.say(self.sender)
