from server.core.outbox import MAX_OUTBOX_BYTES, Outbox, Signal


def typing(text: bytes) -> Signal:
    return Signal(text, "TYPING", "kai")


def test_frames_are_taken_in_the_order_in_which_they_were_offered() -> None:
    outbox = Outbox()
    assert outbox.add([b"1", b"2"], 10)
    assert outbox.add([typing(b"t"), b"3"], 10)
    assert (len(outbox), outbox.take()) == (4, b"12t3")
    assert (len(outbox), outbox.take()) == (0, b"")


def test_nothing_is_dropped_while_there_is_room() -> None:
    outbox = Outbox()
    assert outbox.add([typing(b"a"), typing(b"b"), b"1"], 3)
    assert outbox.take() == b"ab1"


def test_of_signals_of_one_kind_the_newest_stays_when_room_is_short() -> None:
    outbox = Outbox()
    assert outbox.add([typing(b"a"), Signal(b"d", "devices"), typing(b"b"), b"1"], 3)
    assert outbox.take() == b"db1"


def test_then_all_signals_are_dropped_and_no_other_frame_ever() -> None:
    outbox = Outbox()
    assert outbox.add([b"1", typing(b"a"), b"2", Signal(b"d", "devices"), b"3"], 3)
    assert outbox.take() == b"123"


def test_more_frames_than_may_wait_are_too_many() -> None:
    outbox = Outbox()
    assert outbox.add([b"1", b"2", b"3"], 3)
    assert not outbox.add([b"4"], 3)


def test_more_bytes_than_may_wait_are_too_many_however_few_the_frames() -> None:
    half = b"x" * (MAX_OUTBOX_BYTES // 2)
    outbox = Outbox()
    assert outbox.add([half, half], 256)
    assert outbox.add([typing(b"t")], 256)
    assert not outbox.add([b"1"], 256)
    outbox.take()
    assert outbox.add([half, half], 256)
