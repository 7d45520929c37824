"""The short form of a message_id that the stores' unique indexes hold."""

from hashlib import blake2b


def hash_of(message_id: str) -> int:
    """Makes 64 bits: that two ids of one conversation share them is not to be expected within its life."""
    return int.from_bytes(blake2b(message_id.encode(), digest_size=8).digest(), "big", signed=True)
