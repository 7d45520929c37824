"""The kinds of values that keys take, with their bounds.

A message says what a value should be; the line of the fault names key and value beside it.
"""

import base64
import json
import re
from ipaddress import IPv6Address, ip_network
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, SecretStr, StringConstraints

from server.core.forwarding import OWN_PATHS, is_root_path

T = TypeVar("T")

_SIGNING_PREFIX = "whsec_"  # Standard Webhooks


def _host(text: str) -> str:
    """Take the brackets off that a URL needs around an IPv6 address, and nothing else does."""
    if text.startswith("["):
        try:
            return str(IPv6Address(text[1:-1] if text.endswith("]") else ""))
        except ValueError:
            raise ValueError("has brackets, but no IPv6 address between them") from None
    return text


def _network(text: str) -> str:
    ip_network(text, strict=False)  # ValueError says what is wrong
    return text


def _web_origin(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+", text):
        raise ValueError("should look like https://chat.example or http://localhost:3000, without a path")
    return text


def _root_path(path: str) -> str:
    if path in OWN_PATHS:
        raise ValueError("is a path of the server's own")
    if path and not is_root_path(path):
        raise ValueError("should look like /chat, without a slash at the end")
    return path


def _filled(secret: SecretStr) -> SecretStr:
    if not secret:
        raise ValueError("should not be empty")
    return secret


def _signing_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_SIGNING_PREFIX), validate=True)
    except ValueError:
        key = b""
    if not key or not text.startswith(_SIGNING_PREFIX):
        raise ValueError(f"should be {_SIGNING_PREFIX} and base64")
    return secret


def _one_of(*schemes: str) -> AfterValidator:
    def check(url: str) -> str:
        if url and not url.startswith(schemes):
            raise ValueError(f"should start with {' or '.join(schemes)}")
        return url

    return AfterValidator(check)


def _database_url(url: str) -> str:
    if url.startswith("sqlite://") and not url.removeprefix("sqlite://").strip("/"):
        raise ValueError(
            "should name a file: sqlite:///chat.db, or sqlite:////var/lib/chat.db for an absolute path"
        )
    if url.startswith("memory://") and url != "memory://":
        raise ValueError("should be memory:// and nothing behind it")
    return url


def _with_host(url: str) -> str:
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if url and not host:
        raise ValueError("should name a host")
    return url


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("should be [shortest, longest]")
    return pair


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _json(table: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse NaN and the infinities, which TOML has and JSON has not."""
    json.dumps(table, allow_nan=False)  # ValueError says what is wrong
    return table


# Files have types and are taken at their word; a list is a tuple only since settings are not to change.
Items = Annotated[tuple[T, ...], Field(strict=False)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SomeSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Days = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Span = Annotated[tuple[Seconds, Seconds], Field(strict=False), AfterValidator(_in_order)]
Text = Annotated[str, StringConstraints(min_length=1)]
Host = Annotated[Text, AfterValidator(_host)]
Network = Annotated[str, AfterValidator(_network)]
RootPath = Annotated[str, AfterValidator(_root_path)]
WebOrigin = Annotated[str, AfterValidator(_web_origin)]
Lowered = BeforeValidator(_lower)
Params = Annotated[dict[str, JsonValue], AfterValidator(_json)]
ApiKey = Annotated[SecretStr, AfterValidator(_filled)]
SigningSecret = Annotated[SecretStr, AfterValidator(_signing_secret)]
HttpUrl = Annotated[str, _one_of("http://", "https://"), AfterValidator(_with_host)]
StoreUrl = Annotated[Text, _one_of("sqlite:///", "postgresql://", "memory://"), AfterValidator(_database_url)]
_backplane = _one_of("redis://", "rediss://", "redis+cluster://")
BackplaneUrl = Annotated[str, _backplane, AfterValidator(_with_host)]
JwtAlgorithm = Literal[
    "HS256", "HS384", "HS512",
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip
