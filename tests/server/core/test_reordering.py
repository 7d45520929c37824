from itertools import permutations

from server.core.reordering import Early


def test_whatever_the_order_of_arrival_messages_are_taken_in_theirs() -> None:
    for order in permutations(range(6, 11)):
        early, delivered, taken = Early(), 5, list[bytes]()
        for seq in order:
            early.add(seq, b"%d" % seq)
            ready = early.take(delivered)
            delivered += len(ready)
            taken += ready
        assert taken == [b"6", b"7", b"8", b"9", b"10"]
        assert delivered == early.newest


def test_what_is_only_known_of_is_expected_and_not_taken() -> None:
    early = Early()
    early.expect(8)
    early.add(6, b"6")
    assert early.take(5) == [b"6"]
    assert early.newest == 8
