import base64
import hmac
import json
import time
from collections.abc import Callable
from itertools import count
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.core.model import Refused
from server.runtime.base.tokens import Claims, Tokens, UnusableKey

SECRET = "a secret of sixty-four bytes, which is what the longest of them asks for"
LATER = int(time.time()) + 3600


def minted(key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    return jwt.encode({"sub": "kai", "exp": LATER} | claims, key, algorithm)


def unsigned(**header: Any) -> str:
    parts = [{"typ": "JWT"} | header, {"sub": "kai", "exp": LATER}]
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."
    )


def refusal(tokens: Tokens, token: str | None) -> str:
    found = tokens.verify_for(token, "kai")
    assert isinstance(found, Refused)
    return found.text


def test_a_valid_token_tells_user_and_end() -> None:
    assert Tokens(SECRET, ["HS256"]).verify_for(minted(), "kai") == Claims("kai", float(LATER))


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (None, "a token is required"),
        ("", "a token is required"),
        (minted(exp=int(time.time()) - 1), "the token has expired"),
        (minted(sub="ben"), "the token is another user's"),
        (minted(nbf=LATER), "the token is not valid"),
        (minted(SECRET[::-1]), "the token is not valid"),
        (minted(algorithm="HS512"), "the token is not valid"),
        (minted(exp=float("inf")), "the token is not valid"),
        (minted(exp="soon"), "the token is not valid"),
        (minted(exp=str(LATER)), "the token is not valid"),
        (minted(exp=None), "the token is not valid"),
        (minted(sub=["kai"]), "the token is not valid"),
        (jwt.encode({"sub": "kai"}, SECRET, "HS256"), "the token is not valid"),
        (jwt.encode({"exp": LATER}, SECRET, "HS256"), "the token is not valid"),
        (unsigned(alg="none"), "the token is not valid"),
        (unsigned(alg=["HS256"]), "the token is not valid"),
        (minted()[:-2] + "AA", "the token is not valid"),
        ("x", "the token is not valid"),
        ("é.é.é", "the token is not valid"),
        ("x" * 100_000, "the token is not valid"),
        (minted(aud="another service"), None),
    ],
    ids=count(),  # tokens tell the time, and the processes that share the tests must name them alike
)
def test_forged_expired_and_foreign_tokens_are_refused(token: str | None, reason: str | None) -> None:
    tokens = Tokens(SECRET, ["HS256"])
    if reason is None:  # no audience is asked for
        assert isinstance(tokens.verify(token), Claims)
    else:
        assert refusal(tokens, token) == reason


def test_clocks_may_differ_by_the_leeway() -> None:
    now = int(time.time())
    tokens = Tokens(SECRET, ["HS256"], leeway=5.0)
    assert tokens.verify(minted(nbf=now + 3)) == Claims("kai", float(LATER))
    assert tokens.verify(minted(exp=now - 3)) == Claims("kai", now + 2.0)
    assert refusal(tokens, minted(nbf=now + 8)) == "the token is not valid"
    assert refusal(tokens, minted(exp=now - 6)) == "the token has expired"


def test_an_audience_that_is_asked_for_must_be_there() -> None:
    tokens = Tokens(SECRET, ["HS256"], "chat")
    named: tuple[Any, ...] = ("chat", ["shop", "chat"])
    foreign: tuple[Any, ...] = ("shop", ["shop"], [], [7], None)
    for audience in named:
        assert isinstance(tokens.verify(minted(aud=audience)), Claims)
    for audience in foreign:
        assert refusal(tokens, minted(aud=audience)) == "the token is not valid"
    assert refusal(tokens, minted()) == "the token is not valid"


def signed_by_hand(secret: str) -> str:
    """HS256, which no library lets sign with a public key."""
    signed = unsigned(alg="HS256").removesuffix(".")
    signature = hmac.digest(secret.encode(), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def test_what_is_signed_by_hand_is_as_good_as_by_the_library() -> None:
    assert isinstance(Tokens(SECRET, ["HS256"]).verify(signed_by_hand(SECRET)), Claims)


@pytest.mark.parametrize(
    ("algorithm", "generate"),
    [
        ("EdDSA", Ed25519PrivateKey.generate),
        ("ES256", lambda: ec.generate_private_key(ec.SECP256R1())),
        ("RS256", lambda: rsa.generate_private_key(65537, 2048)),
        ("PS256", lambda: rsa.generate_private_key(65537, 2048)),
    ],
)
def test_a_public_key_verifies_and_is_no_shared_secret(algorithm: str, generate: Callable[[], Any]) -> None:
    private = generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    tokens = Tokens(pem, [algorithm])
    assert isinstance(tokens.verify(minted(private, algorithm)), Claims)
    for forged in (minted(generate(), algorithm), signed_by_hand(pem), signed_by_hand(""), minted("x" * 40)):
        assert refusal(tokens, forged) == "the token is not valid"
    with pytest.raises(UnusableKey):
        Tokens(pem, ["HS256"])


def test_what_is_no_key_is_refused_at_the_start() -> None:
    with pytest.raises(UnusableKey):
        Tokens("no key", ["RS256"])
