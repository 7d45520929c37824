"""Keys and tokens, against a real server that asks for both."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.device import Device
from tests.support.knock import OK, knock, verdict
from tests.support.server import RunningServer, running_server

SECRET = "a secret of more than thirty-two bytes"
KEY = "operators-key"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("guarded")
    with running_server(folder, auth__jwt_secret=SECRET, auth__api_keys=f"other,{KEY}") as server:
        yield server


def token(user: str = "kai", seconds: float = 3600) -> str:
    return jwt.encode({"sub": user, "exp": time.time() + seconds}, SECRET, "HS256")


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def call(
    server: RunningServer, method: str, path: str, headers: dict[str, str] | None = None, **more: Any
) -> httpx2.Response:
    return httpx2.request(method, server.url + path, headers=headers, **more)


@contextmanager
def joined(server: RunningServer, user: str, conversation: str, seconds: float = 3600) -> Iterator[Device]:
    headers = bearer(token(user, seconds))
    with knock(server, user, conversation, additional_headers=headers) as socket:
        yield Device(socket)


@pytest.mark.parametrize("path", ["/", "/health", "/health/live", "/app", "/app/chat-client.js"])
def test_these_are_open(guarded: RunningServer, path: str) -> None:
    assert call(guarded, "GET", path, follow_redirects=True).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/stats"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
        ("GET", "/api/conversations?user_id=kai"),
        ("GET", "/no-such-route"),
        ("POST", "/"),
        ("POST", "/api/send-ai-message"),
        ("POST", "/api/drain"),
        ("DELETE", "/api/users/kai"),
    ],
)
@pytest.mark.parametrize("headers", [{}, bearer("wrong"), {"X-API-Key": KEY[:-1]}, {"X-API-Key": ""}])
def test_everything_else_asks_for_a_key(
    guarded: RunningServer, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = call(guarded, method, path, headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    body = answer.json()
    assert body["type"] == "NACK"
    assert body["error"] == {"code": "unauthorized", "retryable": False}


def test_a_wrong_key_is_told_apart_from_none(guarded: RunningServer) -> None:
    def text(headers: dict[str, str]) -> str:
        return str(call(guarded, "GET", "/stats", headers).json()["data"])

    assert text({}) == text({"X-API-Key": ""}) == "an API key is needed"
    wrong = "this is no API key of the server, nor a user's valid token"
    assert text(bearer("wrong")) == text({"X-API-Key": KEY[:-1]}) == wrong


@pytest.mark.parametrize("path", ["/", "/health", "/health/live"])
def test_options_tells_what_the_open_routes_take(guarded: RunningServer, path: str) -> None:
    answer = call(guarded, "OPTIONS", path)
    assert (answer.status_code, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("path", ["/health/", "/health/live/"])
def test_a_slash_at_the_end_changes_nothing(guarded: RunningServer, path: str) -> None:
    assert call(guarded, "GET", path).status_code == 200
    assert call(guarded, "GET", "/stats/", bearer(KEY)).status_code == 200
    assert call(guarded, "GET", "/stats/").status_code == 401


@pytest.mark.parametrize("headers", [bearer(KEY), {"X-API-Key": KEY}, {"x-api-key": "other"}])
def test_every_key_opens_everything(guarded: RunningServer, headers: dict[str, str]) -> None:
    assert call(guarded, "GET", "/stats", headers).status_code == 200
    assert call(guarded, "GET", "/openapi.json", headers).status_code == 200


def test_the_openapi_document_tells_which_routes_want_a_key(guarded: RunningServer) -> None:
    document = call(guarded, "GET", "/openapi.json", bearer(KEY)).json()
    assert document["security"] == [{"key": []}, {"bearer": []}]
    assert document["components"]["securitySchemes"]["key"]["name"] == "X-API-Key"
    is_open = {path for path, item in document["paths"].items() if item.get("get", {}).get("security") == []}
    assert is_open == {"/", "/health", "/health/live"}


def test_a_users_token_reads_the_users_own_conversations_and_history(guarded: RunningServer) -> None:
    with joined(guarded, "kai", "kais") as device:
        device.ask({"type": "CHAT_MESSAGE", "message_id": "m", "data": "private"})
    own = bearer(token())
    assert call(guarded, "GET", "/api/conversations?user_id=kai", own).status_code == 200
    assert call(guarded, "GET", "/api/conversations/kais", own).status_code == 200
    history = call(guarded, "GET", "/api/conversations/kais/messages", own)
    assert [frame["data"] for frame in history.json()["items"]] == ["private"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/conversations?user_id=kai", 404),
        ("GET", "/api/conversations?user_id=ben&user_id=kai", 404),
        ("GET", "/api/conversations/kais-too", 404),
        ("GET", "/api/conversations/kais-too/messages", 404),
        ("GET", "/api/conversations/kais-too/messages/m", 404),
        ("GET", "/api/conversations/nobodys", 404),
        ("GET", "/api/conversations/%00", 404),
        ("DELETE", "/api/conversations/kais-too", 403),
        ("POST", "/api/send-ai-message", 403),
        ("GET", "/stats", 403),
        ("GET", "/api/users/kai/presence", 403),
    ],
)
def test_what_is_anothers_is_not_there_and_nothing_else_is_a_users(
    guarded: RunningServer, method: str, path: str, status: int
) -> None:
    with joined(guarded, "kai", "kais-too"):
        pass
    answer = call(guarded, method, path, bearer(token("ben")))
    assert answer.status_code == status
    assert answer.json()["type"] == "NACK"


def test_an_expired_token_reads_nothing(guarded: RunningServer) -> None:
    old = bearer(token(seconds=-60))
    assert call(guarded, "GET", "/api/conversations?user_id=kai", old).status_code == 401


def test_a_token_comes_by_header_subprotocol_or_query_and_the_first_decides(guarded: RunningServer) -> None:
    good, bad = token(), token("ben")
    with knock(guarded, query=f"&token={good}") as socket:
        assert verdict(socket) == OK
    with knock(guarded, subprotocols=["chat.v1", f"bearer.{good}"], query=f"&token={bad}") as socket:
        assert verdict(socket) == OK
        assert socket.subprotocol == "chat.v1"
    with knock(guarded, subprotocols=["chat.v1", f"bearer.{bad}"], additional_headers=bearer(good)) as socket:
        assert verdict(socket) == OK
    with knock(guarded, query=f"&token={good}", additional_headers=bearer(bad)) as socket:
        assert verdict(socket) == (1008, "the token is another user's")


def test_nobody_comes_in_without_a_valid_token(guarded: RunningServer) -> None:
    for query, reason in [
        ("", "a token is required"),
        ("&token=x", "the token is not valid"),
        (f"&token={token(seconds=-60)}", "the token has expired"),
        (f"&token={KEY}", "the token is not valid"),
    ]:
        with knock(guarded, query=query) as socket:
            assert verdict(socket) == (1008, reason)


def test_a_token_that_runs_out_closes_with_4003_unless_it_is_refreshed_in_time(
    guarded: RunningServer,
) -> None:
    with joined(guarded, "kai", "left", 3) as left, joined(guarded, "kai", "kept", 3) as kept:
        refresh = {"type": "AUTH_REFRESH", "message_id": "r", "data": {"token": token(seconds=60)}}
        assert kept.ask(refresh)["type"] == "ACK"
        assert left.wait_for_close()[0] == 4003
        assert kept.ask({"type": "CHAT_MESSAGE", "message_id": "m", "data": "still here"})["type"] == "ACK"


def test_a_token_whose_issuers_clock_is_some_seconds_off_is_let_in_for_the_leeway(
    guarded: RunningServer,
) -> None:
    early = jwt.encode({"sub": "kai", "exp": time.time() + 60, "nbf": time.time() + 2}, SECRET, "HS256")
    with knock(guarded, query=f"&token={early}") as socket:
        assert verdict(socket) == OK
    with joined(guarded, "kai", "late", -2) as late:
        assert late.ask({"type": "CHAT_MESSAGE", "message_id": "m", "data": "in time"})["type"] == "ACK"
        assert late.wait_for_close()[0] == 4003


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"token": token("ben")}, "not_authorized"),
        ({"token": token(seconds=-60)}, "not_authorized"),
        ({"token": 1}, "validation_failed"),
        ("x", "validation_failed"),
    ],
)
def test_a_refresh_that_is_no_good_is_nacked_and_changes_nothing(
    guarded: RunningServer, data: object, code: str
) -> None:
    with joined(guarded, "kai", "c") as device:
        nack = device.ask({"type": "AUTH_REFRESH", "message_id": "r", "data": data})
        assert (nack["type"], nack["error"]["code"]) == ("NACK", code)
        assert device.ask({"type": "PING"})["type"] == "PONG"


def test_without_jwt_a_refresh_is_acked(server: RunningServer) -> None:
    with knock(server) as socket:
        refresh = {"type": "AUTH_REFRESH", "message_id": "r", "data": {"token": "x"}}
        assert Device(socket).ask(refresh)["type"] == "ACK"


@pytest.mark.parametrize("format", ["json", "console"])
def test_tokens_and_keys_are_never_logged(tmp_path: Path, format: str) -> None:
    kais, bens, wrong = token(), token("ben"), "a-key-that-is-none"
    with running_server(
        tmp_path, auth__jwt_secret=SECRET, auth__api_keys=KEY, log__level="debug", log__format=format
    ) as server:
        for way in (
            {"query": f"&token={kais}"},
            {"additional_headers": bearer(kais)},
            {"subprotocols": ["chat.v1", f"bearer.{kais}"]},
        ):
            with knock(server, **way) as socket:
                refresh = {"type": "AUTH_REFRESH", "message_id": "r", "data": {"token": bens}}
                assert Device(socket).ask(refresh)["error"]["code"] == "not_authorized"
        with knock(server, query=f"&token={bens}") as socket:
            assert verdict(socket)[0] == 1008
        for credential in (kais, wrong):
            call(server, "GET", f"/api/conversations?user_id=kai&token={kais}", bearer(credential))
        call(server, "POST", f"/api/drain?key={wrong}", {"X-API-Key": wrong}, content=b"\xff")
        told = [call(server, "GET", f"/stats{path}", bearer(KEY)).text for path in ("/events", "/errors")]
        server.terminate()
        said = server.errors + "".join(told)
    assert "nacked" in said
    for secret in (kais, bens, wrong, SECRET, KEY):
        assert secret not in said
        assert secret[-20:] not in said


def test_tokens_are_verified_by_a_public_key_file(tmp_path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    good, forged = (
        jwt.encode({"sub": "kai", "exp": time.time() + 60}, key, "ES256")
        for key in (private, ec.generate_private_key(ec.SECP256R1()))
    )
    with running_server(
        tmp_path, auth__jwt_public_key_file="key.pem", auth__jwt_algorithms="ES256"
    ) as server:
        with knock(server, query=f"&token={good}") as socket:
            assert verdict(socket) == OK
        for bad in (forged, token()):
            with knock(server, query=f"&token={bad}") as socket:
                assert verdict(socket) == (1008, "the token is not valid")


def test_a_key_that_fits_no_algorithm_stops_the_start_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text("no key")
    ended = RunningServer.attempt(tmp_path, auth__jwt_public_key_file="key.pem", auth__jwt_algorithms="RS256")
    assert ended.returncode == 2
    assert ended.stderr == 'chatctl: auth.jwt_public_key_file = "key.pem": cannot be a key for RS256\n'


def test_a_users_token_reads_no_more_than_its_rate_and_keys_and_other_users_are_not_touched(
    tmp_path: Path,
) -> None:
    with running_server(
        tmp_path,
        auth__jwt_secret=SECRET,
        auth__api_keys=KEY,
        rate_limit__signals=3,
        rate_limit__window=60,
    ) as server:

        def read(credential: str, user: str = "kai") -> httpx2.Response:
            return call(server, "GET", f"/api/conversations?user_id={user}", bearer(credential))

        assert [read(token()).status_code for _ in range(3)] == [200] * 3
        refused = read(token())
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= 60
        assert read(token("ben"), "ben").status_code == 200
        assert [read(KEY).status_code for _ in range(5)] == [200] * 5
