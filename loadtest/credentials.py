"""What the load test shows a server that wants JWTs."""

import warnings
from dataclasses import dataclass
from typing import Final

import jwt

from chatctl.tokens import mint, subject_of

# Longer than any run: a token that ran out would end it as a fault of the server's.
_LIFETIME: Final = 30 * 24 * 3600.0


# Handed on by the environment: whoever lists processes sees no secret.
SECRETS: Final = (
    ("--api-key", "CHATCTL_API_KEY", "The server's API key"),
    ("--token", "CHATCTL_TOKEN", "A JWT that all users connect with, as the user that it is made for"),
    ("--jwt-secret", "CHATCTL_JWT_SECRET", "The server's secret, from which each user gets a token"),
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """One token for all, or a secret from which each user gets a token of its own; neither is needed.

    Attributes:
        api_key: For the REST API.
    """

    api_key: str = ""
    token: str = ""
    jwt_secret: str = ""

    def user_id(self, name: str) -> str:
        """Return the id of the user called so: with one token, whoever it is made for. Raises ValueError."""
        return subject_of(self.token) if self.token else name

    def token_of(self, user_id: str) -> str | None:
        """Return what the user's devices connect with."""
        if not self.jwt_secret:
            return self.token or None
        with warnings.catch_warnings(action="ignore", category=jwt.InsecureKeyLengthWarning):
            return mint(user_id, self.jwt_secret, _LIFETIME)


def variables_of(credentials: Credentials) -> dict[str, str]:
    """Return the variables that give a Locust process these credentials."""
    values = (credentials.api_key, credentials.token, credentials.jwt_secret)
    return {variable: value for (_, variable, _), value in zip(SECRETS, values, strict=True)}
