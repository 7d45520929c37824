"""Load on a server that lets nobody in without a token."""

from pathlib import Path

import jwt
import pytest

from chatctl.tokens import mint
from loadtest.credentials import Credentials
from loadtest.launch import Launch, run
from loadtest.result import Result
from tests.support.server import running_server

SECRET = "a secret of the server, long enough"
KEY = "the server's API key"


def test_from_a_secret_each_user_gets_a_token_of_its_own() -> None:
    credentials = Credentials(jwt_secret=SECRET)
    for user in ("ann", "bob"):
        assert credentials.user_id(user) == user
        token = credentials.token_of(user)
        assert token and jwt.decode(token, SECRET, algorithms=["HS256"])["sub"] == user


def test_with_one_token_all_are_the_user_that_it_is_made_for() -> None:
    credentials = Credentials(token=mint("ann", SECRET, 60))
    assert credentials.user_id("anybody") == "ann"
    assert credentials.token_of("ann") == credentials.token


def test_without_credentials_nothing_is_shown() -> None:
    assert (Credentials().user_id("ann"), Credentials().token_of("ann")) == ("ann", None)


@pytest.mark.parametrize(
    ("credentials", "passes"),
    [
        (Credentials(api_key=KEY, jwt_secret=SECRET), True),
        (Credentials(api_key=KEY, token=mint("ann", SECRET, 600)), True),
        (Credentials(api_key=KEY, jwt_secret=SECRET + "x"), False),
    ],
    ids=["secret", "token", "wrong secret"],
)
def test_a_server_with_jwts_and_keys_is_put_under_load(
    tmp_path: Path, credentials: Credentials, passes: bool
) -> None:
    with running_server(
        tmp_path, auth__jwt_secret=SECRET, auth__api_keys=KEY, rate_limit__enabled="false"
    ) as server:
        result = load(server.url, credentials)
    assert (result.valid, result.passed) == (passes, passes), result.invalid_because
    assert (result.sent > 0) is passes or not result.valid
    assert SECRET not in result.model_dump_json()


def load(url: str, credentials: Credentials) -> Result:
    """Run until the machine had time for it: a busy one makes a run invalid, whatever the credentials."""
    for _ in range(3):
        result = load_once(url, credentials)
        if not any("overloaded" in why for why in result.invalid_because):
            break
    return result


def load_once(url: str, credentials: Credentials) -> Result:
    settings = Launch(
        scenario="fanout",
        url=url,
        users=2,
        spawn_rate=50,
        devices=2,
        rate=20,
        duration=1.0,
        processes=1,
        slos=[],
        credentials=credentials,
    )
    return run(settings, lambda progress: None)
