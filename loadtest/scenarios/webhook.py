"""webhook: an AI service of the load test's own gets turns; none is lost, doubled, disordered.

Meanwhile connections are cut at random, as in `reconnect`. Our own server is killed too.
"""

from collections import defaultdict

from locust import task

from loadtest import turns
from loadtest.generator import Room
from loadtest.rest import Frame, RestError
from loadtest.service.service import read_account
from loadtest.users import ChatUser


class WebhookUser(ChatUser):
    scenario = "webhook"

    def on_start(self) -> None:
        if self.generator.settings.service is None:
            self.generator.unfit("there is no AI service: name it by --service")
        super().on_start()

    def open_room(self) -> Room:
        return self.generator.open_room(self.generator.settings.devices, self.examine)

    @task(29)
    def say_something(self) -> None:
        self.say(self.any_device)

    @task(1)
    def lose_a_connection(self) -> None:
        self.cut(self.any_device)

    def examine(self, history: list[Frame]) -> None:
        """Holds what the service knows of the conversation against its history."""
        if self.generator.settings.service is None:
            return
        try:
            deliveries = read_account(self.generator.settings.service, self.room.conversation_id)
        except RestError as error:
            self.generator.unfit(f"the AI service gave no account: {error}")
            return
        found: dict[str, list[str]] = defaultdict(list)
        for invariant, how in turns.broken(history, deliveries):
            found[invariant].append(how)
        for invariant, hows in found.items():
            more = f" (and {len(hows) - 1} more)" if len(hows) > 1 else ""
            self.generator.violated(invariant, f"{self.room.conversation_id}: {hows[0]}{more}")
