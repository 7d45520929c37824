"""The ledger finds each fault that a server can have, and none where there is none."""

import pytest

from loadtest.ledger import Fault, Ledger, Stored

PHONE, LAPTOP = "phone", "laptop"


class Story:
    """Tells a ledger what happened, one tick of the clock a step."""

    def __init__(self, has_service: bool = False) -> None:
        self.ledger = Ledger("conv", has_service)
        self.history: list[Stored] = []
        self.now = 0.0
        for device in (PHONE, LAPTOP):
            self.ledger.note_joined(device, 0)

    def tick(self) -> float:
        self.now += 0.001
        return self.now

    def send(self, message_id: str) -> None:
        self.ledger.note_sent(PHONE, message_id, f"text of {message_id}", self.now, self.tick())

    def store(self, message_id: str, seq: int, text: str | None = None) -> None:
        self.history.append(Stored(seq, message_id, text or f"text of {message_id}"))

    def see(self, device: str, message_id: str, seq: int, text: str | None = None) -> float | None:
        return self.ledger.note_seen(device, message_id, seq, text or f"text of {message_id}", self.tick())

    def hear(self, device: str, message_id: str, seq: int, text: str | None = None) -> float | None:
        """A device sees a message of the AI's."""
        said = text or f"text of {message_id}"
        return self.ledger.note_seen(device, message_id, seq, said, self.tick(), is_ais=True)

    def ack(self, message_id: str, seq: int) -> float | None:
        return self.ledger.note_ack(message_id, seq, self.tick())

    def message(self, message_id: str, seq: int) -> None:
        """A message's whole life, as it should be."""
        self.send(message_id)
        self.store(message_id, seq)
        self.see(PHONE, message_id, seq)
        self.see(LAPTOP, message_id, seq)
        self.ack(message_id, seq)

    def judged(self) -> dict[Fault, int]:
        self.ledger.judge(self.history)
        return dict(self.ledger.faults)


@pytest.fixture
def story() -> Story:
    return Story()


def test_a_faultless_run_has_no_faults_and_is_counted(story: Story) -> None:
    for seq in range(1, 6):
        story.message(f"m{seq}", seq)
    assert story.judged() == {}
    assert (story.ledger.sent, story.ledger.acked, story.ledger.deliveries) == (5, 5, 10)


def test_latency_counts_from_when_the_message_was_due(story: Story) -> None:
    story.ledger.note_sent(PHONE, "m1", "text of m1", due=0.5, at=2.0)
    assert story.see(LAPTOP, "m1", 1) == 0.5
    assert story.see(PHONE, "m1", 1) == 0.5
    assert story.ack("m1", 1) == 0.5


def test_a_message_that_one_device_never_saw_is_lost(story: Story) -> None:
    story.message("m1", 1)
    story.send("m2")
    story.store("m2", 2)
    story.see(PHONE, "m2", 2)
    story.ack("m2", 2)
    story.message("m3", 3)
    assert story.judged() == {Fault.LOST: 1}
    finding = story.ledger.findings[0]
    assert finding.message_id == "m2"
    assert LAPTOP in finding.detail
    assert [moment.event for moment in finding.timeline] == [
        "sent",
        "seen by phone as seq 2",
        "ACKed as seq 2",
    ]


def test_an_acked_message_that_is_not_in_the_history_is_lost_even_though_all_saw_it(story: Story) -> None:
    story.message("m1", 1)
    story.history.clear()
    assert story.judged() == {Fault.LOST: 1}


def test_tells_what_is_still_awaited(story: Story) -> None:
    def awaits() -> tuple[bool, bool]:
        return not story.ledger.is_answered, not story.ledger.is_delivered

    story.message("m1", 1)
    assert awaits() == (False, False)
    story.send("m2")
    assert awaits() == (True, False)
    story.see(PHONE, "m2", 2)
    story.ack("m2", 2)
    assert awaits() == (False, True)
    story.see(LAPTOP, "m2", 2)
    assert awaits() == (False, False)


def test_a_message_seen_twice_is_duplicated(story: Story) -> None:
    story.message("m1", 1)
    assert story.see(LAPTOP, "m1", 1) is None
    assert story.judged() == {Fault.DUPLICATED: 1}
    assert story.ledger.deliveries == 2


def test_a_message_seen_after_a_later_one_is_out_of_order(story: Story) -> None:
    for message_id, seq in (("m1", 1), ("m2", 2)):
        story.send(message_id)
        story.store(message_id, seq)
        story.see(PHONE, message_id, seq)
        story.ack(message_id, seq)
    story.see(LAPTOP, "m2", 2)
    story.see(LAPTOP, "m1", 1)
    assert story.judged() == {Fault.OUT_OF_ORDER: 1}


def test_what_a_device_reads_late_from_the_history_is_in_order(story: Story) -> None:
    story.send("m1")
    story.store("m1", 1)
    story.see(PHONE, "m1", 1)
    story.ack("m1", 1)
    story.message("m2", 2)
    story.ledger.note_seen(LAPTOP, "m1", 1, "text of m1", story.tick(), recovered=True)
    assert story.judged() == {}


def test_seqs_given_in_another_order_than_sent_are_out_of_order(story: Story) -> None:
    story.send("m1")
    story.send("m2")
    for message_id, seq in (("m2", 1), ("m1", 2)):
        story.store(message_id, seq)
        story.see(PHONE, message_id, seq)
        story.see(LAPTOP, message_id, seq)
        story.ack(message_id, seq)
    assert story.judged() == {Fault.OUT_OF_ORDER: 1}


def test_an_ack_before_the_senders_own_broadcast_is_out_of_order(story: Story) -> None:
    story.send("m1")
    story.store("m1", 1)
    story.ack("m1", 1)
    story.see(PHONE, "m1", 1)
    story.see(LAPTOP, "m1", 1)
    assert story.judged() == {Fault.OUT_OF_ORDER: 1}


def test_a_message_that_nobody_sent_is_a_ghost_wherever_it_shows(story: Story) -> None:
    story.message("m1", 1)
    story.see(LAPTOP, "foreign", 2)
    assert story.ledger.faults == {Fault.GHOST: 1}
    story.see(PHONE, "foreign", 2)
    story.store("foreign", 2)
    assert story.judged() == {Fault.GHOST: 3}


def test_a_message_seen_and_neither_acked_nor_stored_is_a_ghost_and_unanswered(story: Story) -> None:
    story.send("m1")
    story.see(LAPTOP, "m1", 1)
    assert story.judged() == {Fault.GHOST: 1, Fault.UNANSWERED: 1}


def test_a_refused_message_that_is_stored_all_the_same_is_a_ghost(story: Story) -> None:
    story.send("m1")
    story.ledger.note_nack("m1", "store_unavailable", story.tick())
    story.store("m1", 1)
    story.see(PHONE, "m1", 1)
    story.see(LAPTOP, "m1", 1)
    assert story.judged() == {Fault.GHOST: 1}


def test_outcome_unknown_may_end_either_way(story: Story) -> None:
    for message_id in ("m1", "m2"):
        story.send(message_id)
        story.ledger.note_nack(message_id, "outcome_unknown", story.tick())
    story.store("m1", 1)
    story.see(PHONE, "m1", 1)
    story.see(LAPTOP, "m1", 1)
    assert story.judged() == {}


def test_a_retry_after_outcome_unknown_may_be_answered_once_more(story: Story) -> None:
    story.send("m1")
    story.ledger.note_nack("m1", "outcome_unknown", story.tick())
    story.ledger.note_retry("m1", story.tick())
    story.store("m1", 1)
    story.see(PHONE, "m1", 1)
    story.see(LAPTOP, "m1", 1)
    story.ack("m1", 1)
    assert story.judged() == {}
    assert story.ledger.acked == 1


def test_a_retry_that_is_itself_sent_twice_may_be_answered_twice(story: Story) -> None:
    story.send("m1")
    story.ledger.note_nack("m1", "outcome_unknown", story.tick())
    story.ledger.note_retry("m1", story.tick())
    story.store("m1", 1)
    story.see(PHONE, "m1", 1)
    story.see(LAPTOP, "m1", 1)
    story.ledger.note_ack("m1", 1, story.tick(), frames=2)
    story.ledger.note_ack("m1", 1, story.tick(), frames=2, duplicate=True)
    assert story.judged() == {}


@pytest.mark.parametrize("settled", [True, False])
def test_one_frame_answered_twice_is_duplicated(story: Story, settled: bool) -> None:
    story.send("m1")
    story.store("m1", 1)
    story.see(PHONE, "m1", 1)
    if settled:
        story.see(LAPTOP, "m1", 1)
    story.ack("m1", 1)
    story.ack("m1", 1)
    if not settled:
        story.see(LAPTOP, "m1", 1)
    assert story.judged() == {Fault.DUPLICATED: 1}
    assert story.ledger.acked == 1


def test_a_message_sent_twice_may_be_answered_twice(story: Story) -> None:
    story.send("m1")
    story.store("m1", 1)
    story.see(PHONE, "m1", 1)
    story.see(LAPTOP, "m1", 1)
    story.ledger.note_ack("m1", 1, story.tick(), frames=2)
    story.ledger.note_ack("m1", 1, story.tick(), frames=2, duplicate=True)
    assert story.judged() == {}


def test_another_text_or_seq_is_altered(story: Story) -> None:
    story.send("m1")
    story.see(PHONE, "m1", 1)
    story.see(LAPTOP, "m1", 1, text="something else")
    story.ack("m1", 1)
    story.store("m1", 1)
    story.send("m2")
    story.see(PHONE, "m2", 2)
    story.ack("m2", 3)
    story.see(LAPTOP, "m2", 2)
    story.store("m2", 2)
    assert story.judged()[Fault.ALTERED] == 2


def test_a_row_altered_after_everybody_saw_it_is_found(story: Story) -> None:
    story.message("m1", 1)
    story.history[0] = Stored(1, "m1", "something else")
    assert story.judged() == {Fault.ALTERED: 1}


def test_a_hole_in_the_history_is_lost_and_a_message_stored_twice_duplicated(story: Story) -> None:
    story.message("m1", 1)
    story.message("m2", 3)
    story.store("m2", 4)
    assert story.judged() == {Fault.LOST: 1, Fault.DUPLICATED: 1}


def test_a_device_is_owed_only_what_came_after_its_first_welcome(story: Story) -> None:
    story.message("m1", 1)
    story.ledger.note_joined("tablet", 1)
    story.send("m2")
    story.store("m2", 2)
    for device in (PHONE, LAPTOP, "tablet"):
        story.see(device, "m2", 2)
    story.ack("m2", 2)
    assert story.judged() == {}


def test_a_reconnect_does_not_forgive_what_was_missed_before(story: Story) -> None:
    story.send("m1")
    story.store("m1", 1)
    story.see(PHONE, "m1", 1)
    story.ack("m1", 1)
    story.ledger.note_joined(LAPTOP, 1)
    assert story.judged() == {Fault.LOST: 1}


def test_a_giant_seq_costs_no_giant_memory(story: Story) -> None:
    story.send("m1")
    story.see(PHONE, "m1", 10**15)
    assert Fault.GHOST in story.judged()


def test_of_many_faults_the_first_few_are_told_and_all_are_counted(story: Story) -> None:
    for seq in range(1, 101):
        story.message(f"m{seq}", seq)
        story.see(LAPTOP, f"m{seq}", seq)
    assert story.judged() == {Fault.DUPLICATED: 100}
    assert len(story.ledger.findings) == 5


def test_what_an_ai_service_says_is_known_once_a_device_has_seen_it() -> None:
    story = Story(has_service=True)
    story.message("m1", 1)
    is_delivered = [story.ledger.is_delivered]  # the service is to answer
    assert story.hear(PHONE, "answer-1", 2) is None
    assert story.ledger.is_answered
    story.hear(LAPTOP, "answer-1", 2)
    assert [*is_delivered, story.ledger.is_delivered] == [False, True]
    story.history.append(Stored(2, "answer-1", "text of answer-1", is_ais=True))
    assert story.judged() == {}
    assert (story.ledger.sent, story.ledger.acked, story.ledger.deliveries) == (1, 1, 4)


def test_what_an_ai_service_says_is_lost_doubled_or_altered_like_all_else() -> None:
    story = Story(has_service=True)
    story.hear(PHONE, "answer-1", 1)
    story.hear(PHONE, "answer-1", 1)
    story.hear(PHONE, "answer-2", 2)
    story.hear(LAPTOP, "answer-2", 2, "another text")
    for seq in (1, 2, 3):
        story.history.append(Stored(seq, f"answer-{seq}", f"text of answer-{seq}", is_ais=True))
    assert story.judged() == {Fault.DUPLICATED: 1, Fault.ALTERED: 1, Fault.LOST: 3}


def test_where_no_service_answers_its_message_is_a_ghost(story: Story) -> None:
    story.hear(PHONE, "answer-1", 1)
    story.history.append(Stored(1, "answer-1", "text of answer-1", is_ais=True))
    assert story.judged()[Fault.GHOST] == 2


def test_the_time_line_goes_on_after_all_was_well(story: Story) -> None:
    story.message("m1", 1)
    story.see(LAPTOP, "m1", 1)
    events = [moment.event for moment in story.ledger.findings[0].timeline]
    assert events == ["sent", "ACKed as seq 1", "seen by every device", "laptop saw seq 1 once more"]
    times = [moment.at_ms for moment in story.ledger.findings[0].timeline]
    assert times[0] == 0.0 < times[-1]
    assert times == sorted(times)
