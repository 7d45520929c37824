"""JSON Web Tokens: whom one lets in, and until when."""

import time
import warnings
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import jwt
from jwt.types import Options

from server.core.model import Refused
from server.protocol import ErrorCode

# Anything longer is no token of ours, and not worth a signature's check.
_MAX_LENGTH: Final = 8192
_MISSING: Final = Refused(ErrorCode.NOT_AUTHORIZED, "a token is required")
_INVALID: Final = Refused(ErrorCode.NOT_AUTHORIZED, "the token is not valid")
EXPIRED: Final = Refused(ErrorCode.NOT_AUTHORIZED, "the token has expired")
_ANOTHERS: Final = Refused(ErrorCode.NOT_AUTHORIZED, "the token is another user's")


class Claims(NamedTuple):
    """What a valid token says.

    `expires`, in seconds since the epoch, ends the connection that it opens: `exp`, or the end of the leeway
    for a token that came after its `exp` and would be let in for nothing otherwise.
    """

    user_id: str
    expires: float


class UnusableKey(Exception):
    """The key does not fit an algorithm; the text says which."""


class Tokens:
    """Verifies tokens by one key; a token's own header decides nothing.

    `key` is the shared secret, or the public key as PEM; `leeway` the seconds by which the issuer's clock may
    differ. Raises UnusableKey.
    """

    def __init__(self, key: str, algorithms: Sequence[str], audience: str = "", leeway: float = 0.0) -> None:
        self._algorithms = tuple(algorithms)
        self._audience = audience or None
        self._leeway = leeway
        self._keys = {name: _prepared(name, key) for name in self._algorithms}
        self._options = Options(
            require=["exp", "sub"],
            verify_aud=self._audience is not None,
            verify_iat=False,  # says nothing of validity, and clocks differ
        )

    def verify(self, token: str | None) -> Claims | Refused:
        """Return what the token says; or why it lets nobody in, without a word of the token itself."""
        if not token:
            return _MISSING
        if len(token) > _MAX_LENGTH:
            return _INVALID
        try:
            claims = self._decode(token)
            expires = claims["exp"]
            # The library takes digits in a string for a number.
            return _INVALID if isinstance(expires, str) else Claims(str(claims["sub"]), self._end(expires))
        except jwt.ExpiredSignatureError:
            return EXPIRED
        except (jwt.PyJWTError, ValueError, OverflowError):
            return _INVALID

    def verify_for(self, token: str | None, user_id: str) -> Claims | Refused:
        """Verify a token that must be that user's."""
        found = self.verify(token)
        return _ANOTHERS if isinstance(found, Claims) and found.user_id != user_id else found

    def _end(self, expires: float) -> float:
        return float(expires if expires > time.time() else expires + self._leeway)

    def _decode(self, token: str) -> dict[str, Any]:
        name = jwt.get_unverified_header(token).get("alg")
        if not isinstance(name, str) or name not in self._keys:
            raise jwt.InvalidAlgorithmError
        with warnings.catch_warnings(action="ignore", category=jwt.InsecureKeyLengthWarning):
            return jwt.decode(
                token,
                self._keys[name],
                algorithms=[name],
                audience=self._audience,
                leeway=self._leeway,
                options=self._options,
            )


def _prepared(algorithm: str, key: str) -> Any:
    try:
        return jwt.get_algorithm_by_name(algorithm).prepare_key(key)
    except (jwt.PyJWTError, ValueError, TypeError, NotImplementedError):
        raise UnusableKey(f"cannot be a key for {algorithm}") from None
