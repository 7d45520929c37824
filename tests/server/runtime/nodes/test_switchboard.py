from server.core.envelope import Envelope, Kind
from server.runtime.nodes.switchboard import Switchboard, conversation_channel, conversation_of


class Wire:
    """Channels that hand what is published to the other side at once."""

    def __init__(self) -> None:
        self.sides: list[Switchboard] = []

    async def subscribe(self, channel: str) -> None: ...

    def unsubscribe(self, channel: str) -> None: ...

    def publish(self, channel: str, payload: bytes) -> bool:
        for side in self.sides:
            side.received(channel, payload)
        return True


def two_nodes() -> tuple[Switchboard, Switchboard]:
    wire = Wire()
    wire.sides = [Switchboard(wire, "aaaaaaaaaaaa"), Switchboard(wire, "bbbbbbbbbbbb")]
    return wire.sides[0], wire.sides[1]


def test_an_envelope_reaches_who_takes_its_kind_on_the_other_nodes() -> None:
    here, there = two_nodes()
    heard: list[tuple[str, str, Envelope]] = []
    here.on(Kind.HELLO, lambda channel, envelope: heard.append(("here", channel, envelope)))
    there.on(Kind.HELLO, lambda channel, envelope: heard.append(("there", channel, envelope)))
    here.publish(conversation_channel("c"), Kind.HELLO, b"head", b"frame")
    here.publish(conversation_channel("c"), Kind.DEVICES, b"")
    ((name, channel, envelope),) = heard
    assert (name, conversation_of(channel), envelope) == (
        "there", "c", Envelope(Kind.HELLO, "aaaaaaaaaaaa", b"head", b"frame"),
    )  # fmt: skip


def test_what_fails_for_one_envelope_or_listener_concerns_no_other() -> None:
    here, there = two_nodes()
    heard: list[int] = []

    def fail_first(channel: str, envelope: Envelope) -> None:
        heard.append(envelope.facts["number"])

    there.on(Kind.DEVICES, fail_first)
    here.publish("c", Kind.DEVICES, b"no JSON")
    here.publish("c", Kind.DEVICES, b'{"number":2}')
    there.received("c", b"nonsense")
    assert heard == [2]
    back: list[str] = []
    there.when_back(lambda: 1 / 0)  # type: ignore[arg-type]
    there.when_back(lambda: back.append("back"))
    there.came_back()
    assert back == ["back"]
