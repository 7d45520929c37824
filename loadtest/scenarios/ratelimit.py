"""ratelimit: users who send too much get through what the limit allows, and not one message more."""

from datetime import datetime

import gevent
from locust import task

from chatctl.client.outgoing import Failure, Outgoing, Status
from loadtest.device import Device, clock
from loadtest.generator import Room
from loadtest.plan import MEANS_IT, TELLS_WHEN, UP_TO_LIMIT, WITHIN_LIMIT
from loadtest.rest import Frame
from loadtest.users import ChatUser
from loadtest.windows import least_accepted, overfull_windows
from server.protocol import ErrorCode


class LimitedUser(ChatUser):
    """Knows its limit from the welcome, does not care, and looks at the end at what got through."""

    abstract = True
    scenario = "ratelimit"
    keeps_limits = False

    def on_start(self) -> None:
        self.sent: list[Outgoing] = []
        super().on_start()
        if self.limit is None:
            self.generator.unfit("the server tells of no rate limit")

    def open_room(self) -> Room:
        return self.generator.open_room(self.generator.settings.devices, self.examine)

    def say(self, device: Device) -> Outgoing | None:
        message = super().say(device)
        self.sent += [message] if message else []
        return message

    def examine(self, history: list[Frame]) -> None:
        if self.limit is None:
            return
        times = [datetime.fromisoformat(frame["timestamp"]).timestamp() for frame in history]
        if overfull := overfull_windows(times, self.limit):
            self.violated(WITHIN_LIMIT, f"{overfull} windows hold more than {self.limit.messages}")
        refusals = [refusal for message in self.sent if (refusal := refusal_of(message))]
        if silent := sum(1 for refusal in refusals if not refusal.retry_after):
            self.violated(TELLS_WHEN, f"{silent} refusals have no retry_after")
        if refusals and len(times) < least_accepted(times, self.limit):
            self.violated(UP_TO_LIMIT, f"only {len(times)} of {len(self.sent)} messages were accepted")

    def violated(self, invariant: str, how: str) -> None:
        self.generator.violated(invariant, f"{self.room.user_id}: {how}")


class FloodFromOneDevice(LimitedUser):
    @task
    def say_too_much(self) -> None:
        self.say(self.sender)


class FloodFromManyDevices(LimitedUser):
    @task
    def say_too_much(self) -> None:
        self.say(self.any_device)


class SoleSender(LimitedUser):
    """Sends too much too, but when it is refused it waits as long as it is told before it tries again."""

    @task
    def say_until_refused(self) -> None:
        first = refusal_of(self.say_and_wait())
        if first is None:
            return
        gevent.sleep(first.retry_after or 0.0)
        second = refusal_of(self.say_and_wait())
        if second is not None:
            more = second.retry_after
            self.violated(MEANS_IT, f"told to wait {first.retry_after} s, and after that {more} s more")

    def say_and_wait(self) -> Outgoing | None:
        self.due = clock()
        message = self.say(self.sender)
        while message and message.status is Status.SENDING:
            gevent.sleep(0.002)
        return message


def refusal_of(message: Outgoing | None) -> Failure | None:
    """The failure of a message that was over the limit."""
    failure = message.failure if message else None
    return failure if failure and failure.code == ErrorCode.RATE_LIMITED else None
