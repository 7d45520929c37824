from server.core.envelope import Kind, SavedHead, facts_head, pack, read_saved_head, saved_head, unpack
from server.runtime.base.ids import IdMaker


def test_what_was_packed_is_unpacked_as_it_was() -> None:
    origin = IdMaker().prefix
    envelope = unpack(pack(Kind.MESSAGE, origin.encode(), saved_head(7, "an epoch"), b"\x81\x02{}"))
    assert envelope is not None
    assert (envelope.kind, envelope.origin, envelope.frame) == (Kind.MESSAGE, origin, b"\x81\x02{}")
    assert read_saved_head(envelope.head) == SavedHead(7, "an epoch")


def test_facts_may_be_whatever_json_can_say() -> None:
    facts = {"key": ["typing", "é"], "devices": 3}
    envelope = unpack(pack(Kind.SIGNAL, b"0123456789ab", facts_head(facts)))
    assert envelope is not None and envelope.facts == facts and envelope.frame == b""


def test_what_is_too_short_is_no_envelope_and_an_unknown_kind_is_one() -> None:
    assert unpack(b"") is None
    assert unpack(b"too short") is None
    unknown = unpack(b"\xff\x00\x000123456789ab")
    assert unknown is not None and unknown.kind == 255
