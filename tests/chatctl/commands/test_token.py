import json
import time
from pathlib import Path

import jwt
import pytest

from tests.chatctl.conftest import Run

SECRET = "a secret of at least thirty-two bytes"


def test_the_token_is_the_users_and_expires(
    chatctl: Run, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_AUTH__JWT_SECRET", SECRET)
    monkeypatch.setenv("CHAT_AUTH__JWT_AUDIENCE", "chat")
    code, out, err = chatctl("token", "user123", "--seconds", "60")
    assert (code, err) == (0, "")
    claims = jwt.decode(out.strip(), SECRET, ["HS256"], audience="chat")
    assert claims["sub"] == "user123"
    assert 50 < claims["exp"] - time.time() <= 60


def test_json_has_the_token_and_its_end(
    chatctl: Run, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_AUTH__JWT_SECRET", "short")
    code, out, err = chatctl("token", "user123", "--json")
    document = json.loads(out)
    assert (code, err) == (0, "")
    assert jwt.decode(document["token"], options={"verify_signature": False})["exp"] == document["expires_at"]


def test_without_a_secret_it_exits_2(chatctl: Run, empty_folder: Path) -> None:
    code, out, err = chatctl("token", "user123")
    assert (code, out) == (2, "")
    assert "auth.jwt_secret" in err


def test_what_is_no_user_id_exits_2(chatctl: Run, empty_folder: Path) -> None:
    assert chatctl("token", "no user").code == 2
