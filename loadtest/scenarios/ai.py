"""ai: an AI service speaks through the REST API, whole or word by word; devices stop some of its answers.

Every device gets each message once, the pieces joined are the whole, and of a cancel and an answer's end
exactly one wins.
"""

import gevent
from locust import task

from loadtest.users import ChatUser


class AiUser(ChatUser):
    scenario = "ai"

    @task(5)
    def hear_from_the_ai(self) -> None:
        if self.generator.sending:
            gevent.spawn(self.room.hear, self.due)

    @task(4)
    def read_along(self) -> None:
        if self.generator.sending:
            gevent.spawn(self.room.read_along, self.due, is_stopped=False)

    @task(1)
    def stop_an_answer(self) -> None:
        if self.generator.sending:
            gevent.spawn(self.room.read_along, self.due, is_stopped=True)
