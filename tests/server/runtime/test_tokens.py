import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.core.model import Refused
from server.runtime.tokens import Claims, Tokens, UnusableKey

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
)
def test_forged_expired_and_foreign_tokens_are_refused(token: str | None, reason: str | None) -> None:
    tokens = Tokens(SECRET, ["HS256"])
    if reason is None:  # no audience is asked for
        assert isinstance(tokens.verify(token), Claims)
    else:
        assert refusal(tokens, token) == reason


def test_an_audience_that_is_asked_for_must_be_there() -> None:
    tokens = Tokens(SECRET, ["HS256"], "chat")
    named: tuple[Any, ...] = ("chat", ["shop", "chat"])
    foreign: tuple[Any, ...] = ("shop", ["shop"], [], [7], None)
    for audience in named:
        assert isinstance(tokens.verify(minted(aud=audience)), Claims)
    for audience in foreign:
        assert refusal(tokens, minted(aud=audience)) == "the token is not valid"
    assert refusal(tokens, minted()) == "the token is not valid"


def test_a_public_key_is_no_shared_secret() -> None:
    private = Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    tokens = Tokens(pem, ["EdDSA"])
    assert isinstance(tokens.verify(minted(private, "EdDSA")), Claims)
    assert refusal(tokens, minted("x" * 40)) == "the token is not valid"
    with pytest.raises(UnusableKey):
        Tokens(pem, ["HS256"])
    with pytest.raises(UnusableKey):
        Tokens("no key", ["RS256"])
