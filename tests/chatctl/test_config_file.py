from pathlib import Path

from chatctl.config_file import config_toml
from server.settings import Settings, load_settings, shown

REPOSITORY = Path(__file__).parents[2]


def test_what_is_written_is_read_back_as_the_same_settings(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    given = {
        "server.allowed_origins": ["https://a.example"],
        "ai.personas": [
            {"id": "ai", "name": 'Al "Ex" \U0001f600', "prompt": "Be\nkind.\x7f", "params": {"a.b": [1]}}
        ],
        "ai.params": {"temperature": 0.5, "stop": ["."]},
        "auth.jwt_secret": "hush",
    }
    settings = load_settings(None, given, {})
    file.write_text(config_toml(settings), encoding="utf-8")
    assert load_settings(file, {}, {}).model_dump() == settings.model_dump()


def test_the_repositorys_config_toml_has_every_key_and_comment_of_the_schema() -> None:
    file = REPOSITORY / "config.toml"
    assert file.read_text(encoding="utf-8") == config_toml(load_settings(file, {}, {}))


def test_an_empty_secret_is_shown_as_empty() -> None:
    assert shown("auth.jwt_secret", Settings().auth.jwt_secret) == '""'
