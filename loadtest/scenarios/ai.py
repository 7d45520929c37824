"""ai: an AI service speaks through the REST API; every device of the conversation gets each message once."""

import gevent
from locust import task

from loadtest.users import ChatUser


class AiUser(ChatUser):
    scenario = "ai"

    @task
    def hear_from_the_ai(self) -> None:
        if self.generator.sending:
            gevent.spawn(self.room.hear, self.due)
