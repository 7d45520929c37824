"""What several values must be to each other."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from server.core.hosts import is_loopback
from server.settings.schema import Settings

# A character may take two \uXXXX escapes (a surrogate pair), 12 bytes, in JSON.
BYTES_PER_CHARACTER = 12
# HS256 wants a key as long as its hash: a shorter one can be found from a single token.
MIN_SECRET_BYTES = 32
MIN_KEY_CHARACTERS = 16


@dataclass(frozen=True)
class Rule:
    """A combination that must hold. The first key is the one to blame."""

    keys: tuple[str, ...]
    holds: Callable[[Settings], bool]
    demand: str
    """What the first key should be. {1}, {2}... stand for the other keys with their values."""


def _has_jwt(settings: Settings) -> bool:
    return bool(settings.auth.jwt_secret or settings.auth.jwt_public_key_file)


def _is_protected(settings: Settings) -> bool:
    return _has_jwt(settings) and bool(settings.auth.api_keys)


def _algorithms_fit_the_key(settings: Settings) -> bool:
    shared = bool(settings.auth.jwt_secret)
    return not _has_jwt(settings) or all(
        name.startswith("HS") == shared for name in settings.auth.jwt_algorithms
    )


def _persona_ids_differ(settings: Settings) -> bool:
    return len({persona.id for persona in settings.ai.personas}) == len(settings.ai.personas)


def _secret_is_long(settings: Settings) -> bool:
    secret = settings.auth.jwt_secret.get_secret_value()
    return not secret or len(secret.encode()) >= MIN_SECRET_BYTES


def _keys_are_long(settings: Settings) -> bool:
    return all(len(key.get_secret_value()) >= MIN_KEY_CHARACTERS for key in settings.auth.api_keys)


PUBLIC_BIND = Rule(
    ("server.host", "auth.jwt_secret", "auth.jwt_public_key_file", "auth.api_keys"),
    _is_protected,
    "can be reached from other machines: set auth.jwt_secret (or auth.jwt_public_key_file) and auth.api_keys,"
    " or start with --insecure",
)

GUESSABLE = (
    Rule(
        ("auth.jwt_secret",),
        _secret_is_long,
        f"has fewer than {MIN_SECRET_BYTES} bytes and can be guessed from one token"
        f" (openssl rand -hex {MIN_SECRET_BYTES} makes a good one)",
    ),
    Rule(
        ("auth.api_keys",),
        _keys_are_long,
        f"has a key of fewer than {MIN_KEY_CHARACTERS} characters, which can be guessed"
        f" (openssl rand -hex {MIN_KEY_CHARACTERS} makes a good one)",
    ),
)
"""Secrets that can be guessed: refused where other machines can try them, warned of elsewhere."""

RULES = (
    Rule(
        ("heartbeat.timeout", "heartbeat.interval"),
        lambda s: s.heartbeat.timeout > s.heartbeat.interval,
        "should be above {1}",
    ),
    Rule(
        ("store.timeout", "server.shutdown_grace"),
        lambda s: s.store.timeout < s.server.shutdown_grace,
        "should be below {1}, or a stop could not answer what has arrived",
    ),
    Rule(
        ("limits.max_frame_bytes", "limits.max_text_length"),
        lambda s: s.limits.max_frame_bytes >= BYTES_PER_CHARACTER * s.limits.max_text_length,
        f"should be at least {BYTES_PER_CHARACTER} bytes for each character of {{1}}",
    ),
    Rule(
        ("server.workers", "store.url"),
        lambda s: s.server.workers == 1 or s.store.url.startswith("postgresql://"),
        "above 1 needs a store that several processes may write (postgresql://...), not {1}",
    ),
    Rule(
        ("server.workers", "backplane.url"),
        lambda s: s.server.workers == 1 or bool(s.backplane.url),
        "above 1 needs a backplane (redis://...), not {1}",
    ),
    Rule(
        ("auth.jwt_public_key_file", "auth.jwt_secret"),
        lambda s: not (s.auth.jwt_public_key_file and s.auth.jwt_secret),
        "and {1} exclude each other: with both, a token could choose its key",
    ),
    Rule(
        ("auth.jwt_public_key_file",),
        lambda s: not s.auth.jwt_public_key_file or Path(s.auth.jwt_public_key_file).is_file(),
        "is no file",
    ),
    Rule(("auth.jwt_algorithms",), lambda s: bool(s.auth.jwt_algorithms), "should name at least one"),
    Rule(
        ("auth.jwt_algorithms", "auth.jwt_secret", "auth.jwt_public_key_file"),
        _algorithms_fit_the_key,
        "should be HS algorithms with auth.jwt_secret, and others with auth.jwt_public_key_file",
    ),
    Rule(
        ("ai.turn_max_wait", "ai.turn_wait"),
        lambda s: s.ai.turn_max_wait >= s.ai.turn_wait,
        "should not be below {1}",
    ),
    Rule(
        ("ai.webhook_url", "ai.responder"),
        lambda s: s.ai.responder != "webhook" or bool(s.ai.webhook_url),
        "should be set with {1}",
    ),
    Rule(
        ("ai.webhook_url", "ai.webhook_events"),
        lambda s: not s.ai.webhook_events or bool(s.ai.webhook_url),
        "should be set with {1}",
    ),
    Rule(
        ("ai.base_url", "ai.responder"),
        lambda s: s.ai.responder != "openai" or bool(s.ai.base_url),
        "should be set with {1}",
    ),
    Rule(
        ("ai.model", "ai.responder"),
        lambda s: s.ai.responder != "openai" or bool(s.ai.model),
        "should be set with {1}",
    ),
    Rule(("ai.personas",), _persona_ids_differ, "has an id twice"),
)


def rules_for(settings: Settings, *, insecure: bool) -> tuple[Rule, ...]:
    """Return what these settings have to satisfy; `insecure` allows a public address without protection."""
    if insecure or is_loopback(settings.server.host):
        return RULES
    return (*RULES, PUBLIC_BIND, *GUESSABLE)
