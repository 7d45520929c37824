from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from pydantic import SecretStr

from server.settings import (
    NOT_BUILT_YET,
    SECTIONS,
    Settings,
    SettingsError,
    keys,
    load_settings,
    note,
    warnings,
)

Values = Mapping[str, Any]
NOTHING: Values = MappingProxyType({})


def load(
    tmp_path: Path,
    toml: str = "",
    overrides: Values = NOTHING,
    env: Mapping[str, str] = NOTHING,
    insecure: bool = False,
) -> Settings:
    file = tmp_path / "chat.toml"
    file.write_text(toml, encoding="utf-8")
    return load_settings(file, overrides, env, insecure=insecure)


def faults(
    tmp_path: Path, toml: str = "", overrides: Values = NOTHING, env: Mapping[str, str] = NOTHING
) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, toml, overrides, env)
    return tuple(line.replace(f"{tmp_path}/", "") for line in raised.value.faults)


CONTRACT = {
    "server": {
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 1,
        "shutdown_grace": 10.0,
        "trusted_proxies": (),
        "allowed_origins": (),
        "web_client": True,
    },
    "heartbeat": {"interval": 30.0, "timeout": 60.0},
    "limits": {
        "max_text_length": 4000,
        "max_ai_text_length": 32000,
        "max_frame_bytes": 65536,
        "max_invalid_frames": 10,
    },
    "rate_limit": {"messages": 30, "window": 10.0, "enabled": True, "signals": 100},
    "connections": {"max_total": 10000, "max_per_ip": 100, "max_per_user": 20, "send_queue": 256},
    "session": {"ttl": 300.0},
    "recovery": {"max_messages": 500},
    "conversations": {"auto_create": True},
    "typing": {"timeout": 4.0, "ai_timeout": 30.0},
    "store": {"url": "sqlite:///chat.db", "durability": "full", "timeout": 5.0},
    "backplane": {"url": ""},
    "auth": {
        "jwt_secret": SecretStr(""),
        "jwt_public_key_file": "",
        "jwt_algorithms": ("HS256",),
        "jwt_audience": "",
        "api_keys": (),
    },
    "ai": {
        "responder": "none",
        "typing_delay": (1.0, 3.0),
        "history": 20,
        "turn_wait": 0.8,
        "turn_max_wait": 8.0,
        "interrupt": "queue",
        "webhook_url": "",
        "webhook_secret": SecretStr(""),
        "webhook_events": (),
        "base_url": "",
        "model": "",
        "api_key": SecretStr(""),
        "personas": (),
        "simulate_status": False,
    },
    "stats": {"history": 1000, "errors": 500},
    "log": {"level": "info", "format": "auto"},
}


def test_every_key_of_the_contract_is_there_with_its_default_and_no_other() -> None:
    assert Settings().model_dump() == CONTRACT


def test_the_defaults_satisfy_every_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # away from the repository's config.toml
    assert load_settings(None, {}, {}).model_dump() == Settings().model_dump()


def test_every_key_has_a_line_of_explanation() -> None:
    for section, model in SECTIONS.items():
        assert model.__doc__, section
        for name, field in model.model_fields.items():
            assert field.description, f"{section}.{name}"


def test_file_then_environment_then_options_and_the_later_wins(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        '[server]\nport = 1\nworkers = 1\nhost = "localhost"\n[limits]\nmax_text_length = 5',
        {"server.port": 3},
        {"CHAT_SERVER__PORT": "2", "CHAT_LIMITS__MAX_TEXT_LENGTH": "6"},
    )
    assert (settings.server.port, settings.limits.max_text_length, settings.server.host) == (
        3,
        6,
        "localhost",
    )
    assert settings.origin_of("server.port") == "option --port"
    assert settings.origin_of("limits.max_text_length") == "environment variable CHAT_LIMITS__MAX_TEXT_LENGTH"
    assert settings.origin_of("server.host").endswith("chat.toml")
    assert settings.origin_of("store.url") == "default"


def test_config_toml_of_the_working_directory_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text("[server]\nport = 7")
    monkeypatch.chdir(tmp_path)
    assert load_settings(None, {}, {}).server.port == 7
    assert load_settings(None, {}, {}).origin_of("server.port") == "config.toml"


@pytest.mark.parametrize(
    ("text", "items"), [("a,b", ("a", "b")), ('["a", "b"]', ("a", "b")), (" a , ", ("a",)), ("", ())]
)
def test_a_list_in_a_variable_is_json_or_comma_separated(
    tmp_path: Path, text: str, items: tuple[str, ...]
) -> None:
    api_keys = load(tmp_path, env={"CHAT_AUTH__API_KEYS": text}).auth.api_keys
    assert tuple(key.get_secret_value() for key in api_keys) == items


def test_numbers_and_tables_in_a_variable_are_read_too(tmp_path: Path) -> None:
    env = {
        "CHAT_AI__TYPING_DELAY": "0.5,1",
        "CHAT_AI__PERSONAS": '[{"id": "ai", "name": "A", "prompt": ""}]',
    }
    ai = load(tmp_path, env=env).ai
    assert ai.typing_delay == (0.5, 1.0)
    assert ai.personas[0].name == "A"


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        (
            '[server]\nport = "80"',
            'server.port = "80" (chat.toml): should be a valid integer',
        ),
        ("[server]\nport = true", "server.port = true (chat.toml): should be a valid integer"),
        (
            "[server]\nport = 70000",
            "server.port = 70000 (chat.toml): should be less than or equal to 65535",
        ),
        (
            "[server]\nprot = 1",
            "server.prot = 1 (chat.toml): unknown key; did you mean server.port?",
        ),
        ("[sever]\nhost = 1", "sever.host = 1 (chat.toml): unknown key; did you mean server.host?"),
        ("[nonsense]", "nonsense = {} (chat.toml): unknown key"),
        ("stats = 1", "stats = 1 (chat.toml): should be a table of keys"),
        ("[stats]\nhistory = -1", "stats.history = -1 (chat.toml): should be greater than or equal to 0"),
        (
            "[heartbeat]\ninterval = nan",
            "heartbeat.interval = NaN (chat.toml): should be a finite number",
        ),
        (
            "[heartbeat]\ntimeout = 30",
            "heartbeat.timeout = 30.0 (chat.toml): should be above heartbeat.interval = 30.0 (default)",
        ),
        (
            "[ai]\ntyping_delay = [3, 1]",
            "ai.typing_delay = [3, 1] (chat.toml): should be [shortest, longest]",
        ),
        (
            '[ai]\nresponder = "gpt"',
            "ai.responder = \"gpt\" (chat.toml): should be 'none', 'demo', 'webhook' or 'openai'",
        ),
        (
            '[store]\nurl = "mysql://u:hush@h/x"',
            'store.url = "mysql://********@h/x" (chat.toml):'
            " should start with sqlite:/// or postgresql:// or memory://",
        ),
        (
            '[server]\ntrusted_proxies = ["10.0.0.0/8", "proxy"]',
            'server.trusted_proxies[1] = "proxy" (chat.toml):'
            " 'proxy' does not appear to be an IPv4 or IPv6 network",
        ),
    ],
)
def test_a_fault_names_key_value_and_file(tmp_path: Path, toml: str, line: str) -> None:
    assert faults(tmp_path, toml) == (line,)


@pytest.mark.parametrize(
    "toml",
    [
        "[limits]\nmax_frame_bytes = 0",
        "[limits]\nmax_text_length = 0",
        "[limits]\nmax_ai_text_length = 0",
        "[connections]\nsend_queue = 0",
        "[connections]\nmax_total = 0",
        "[connections]\nmax_per_ip = 0",
        "[connections]\nmax_per_user = -1",
        "[store]\ntimeout = 0",
        "[store]\ntimeout = 10",
        "[limits]\nmax_text_length = 5462",
        '[auth]\njwt_algorithms = ["none"]',
        "[auth]\njwt_algorithms = []",
        '[auth]\njwt_secret = "s"\njwt_algorithms = ["RS256"]',
        '[auth]\njwt_public_key_file = "missing.pem"\njwt_algorithms = ["RS256"]',
        "[ai]\nturn_max_wait = 0.5",
        '[ai]\nresponder = "webhook"',
        '[ai]\nwebhook_url = "example.com"',
        '[server]\nallowed_origins = ["https://chat.example/"]',
        "[session]\nttl = -1.0",
        '[store]\nurl = "sqlite:///"',
    ],
)
def test_values_that_make_no_sense_are_one_fault(tmp_path: Path, toml: str) -> None:
    assert len(faults(tmp_path, toml)) == 1


def test_a_fault_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    assert faults(tmp_path, env={"CHAT_SERVER__PORT": "x"}) == (
        'server.port = "x" (environment variable CHAT_SERVER__PORT):'
        " should be a valid integer, unable to parse string as an integer",
    )


def test_an_unknown_variable_is_a_fault_unless_it_has_no_double_underscore(tmp_path: Path) -> None:
    links = {"CHAT_SERVER_PORT": "tcp://10.0.0.1:80", "CHAT_SERVER": "x", "CHATCTL_URL": "x"}
    assert load(tmp_path, env=links).model_dump() == Settings().model_dump()
    assert faults(tmp_path, env={"CHAT_SERVER__PROT": "1", **links}) == (
        'server.prot = "1" (environment variable CHAT_SERVER__PROT): unknown key; did you mean server.port?',
    )


def test_a_fault_of_an_option_names_the_option(tmp_path: Path) -> None:
    assert faults(tmp_path, "", {"server.port": -1}) == (
        "server.port = -1 (option --port): should be greater than or equal to 0",
    )


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    toml = '[server]\nport = "x"\n[heartbeat]\ntimeout = 1\n[auth]\nfoo = 1'
    found = faults(tmp_path, toml, {"server.workers": 2}, {"CHAT_FOO__BAR": "1"})
    assert [line.split(" ")[0] for line in found] == [
        "server.port",
        "auth.foo",
        "foo.bar",
        "heartbeat.timeout",
        "server.workers",
        "server.workers",
    ]


def test_what_depends_on_a_faulty_value_is_not_judged(tmp_path: Path) -> None:
    found = faults(tmp_path, '[server]\nshutdown_grace = "long"\n[store]\ntimeout = 10')
    assert [line.split(" ")[0] for line in found] == ["server.shutdown_grace"]


@pytest.mark.parametrize(
    ("toml", "line"),
    [
        ("port = = 1", "chat.toml: no TOML: Invalid value (at line 1, column 8)"),
        (None, "chat.toml: No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path, toml: str | None, line: str) -> None:
    file = tmp_path / "chat.toml"
    if toml is not None:
        file.write_text(toml)
    with pytest.raises(SettingsError) as raised:
        load_settings(file, {}, {})
    assert raised.value.faults == (f"{tmp_path}/{line}",)


@pytest.mark.parametrize(
    "toml",
    [
        "[auth]\njwt_secret = 5000777",
        '[auth]\njwt_secert = "5000777"',
        '[auth]\napi_keys = "5000777"',
        "[auth]\napi_keys = [5000777]",
        '[ai]\napi_kye = "5000777"',
        'password = "5000777"',
        '[store]\nurl = "postgres://user:5000777@host/db"',
        '[backplane]\nurl = "http://host?password=5000777"',
    ],
)
def test_no_secret_is_in_a_fault(tmp_path: Path, toml: str) -> None:
    found = "\n".join(faults(tmp_path, toml))
    assert "5000777" not in found
    assert "********" in found


def test_a_public_address_needs_jwt_and_api_keys_or_insecure(tmp_path: Path) -> None:
    public = '[server]\nhost = "0.0.0.0"\n'
    for protection in ("", '[auth]\njwt_secret = "s"', '[auth]\napi_keys = ["k"]'):
        assert "--insecure" in faults(tmp_path, public + protection)[0]
    load(tmp_path, public + '[auth]\njwt_secret = "s"\napi_keys = ["k"]')
    load(tmp_path, public, insecure=True)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_loopback_needs_no_keys(tmp_path: Path, host: str) -> None:
    assert load(tmp_path, f'[server]\nhost = "{host}"').server.host == host


def test_workers_need_a_shared_store_and_a_backplane(tmp_path: Path) -> None:
    shared = '[store]\nurl = "postgresql://h/db"\n[backplane]\nurl = "redis://h"'
    assert load(tmp_path, shared, {"server.workers": 2}).server.workers == 2
    assert len(faults(tmp_path, "", {"server.workers": 2})) == 2


def test_a_value_without_effect_is_warned_of_unless_it_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.settings.notbuilt.NOT_BUILT_YET", frozenset({"stats.*", "ai.api_key"}))
    settings = load(
        tmp_path, "[stats]\nhistory = 5\nerrors = 500\n[server]\nport = 1", env={"CHAT_AI__API_KEY": "hush"}
    )
    assert [line.replace(f"{tmp_path}/", "") for line in warnings(settings)] == [
        'ai.api_key = "********" (environment variable CHAT_AI__API_KEY): not built yet, has no effect',
        "stats.history = 5 (chat.toml): not built yet, has no effect",
    ]


def test_what_is_not_built_yet_is_warned_of_with_what_comes_of_it(tmp_path: Path) -> None:
    toml = """
    [store]\nurl = "postgresql://user:hush@host/db"
    [backplane]\nurl = "redis://host"
    [ai]\nresponder = "openai"\nbase_url = "http://host/v1"\nmodel = "m"
    """
    lines = [line.replace(f" ({tmp_path}/chat.toml)", "") for line in warnings(load(tmp_path, toml))]
    assert lines == [
        'store.url = "postgresql://********@host/db": not built yet, the server does not start with it',
        'backplane.url = "redis://host": not built yet, has no effect',
        'ai.responder = "openai": not built yet, has no effect',
        'ai.base_url = "http://host/v1": not built yet, has no effect',
        'ai.model = "m": not built yet, has no effect',
    ]


def test_a_manual_says_what_waits_for_its_feature() -> None:
    assert note("server.port") == ""
    assert note("backplane.url") == note("ai.model") == "Not built yet."
    assert note("ai.responder") == "Not built yet: webhook, openai."


def test_settings_do_not_show_secrets_when_printed(tmp_path: Path) -> None:
    assert "hush" not in repr(load(tmp_path, env={"CHAT_AUTH__JWT_SECRET": "hush"}))


def test_keys_that_wait_for_their_feature_are_keys() -> None:
    assert {key for key in NOT_BUILT_YET if not key.endswith(".*")} <= set(keys())
    assert {key.removesuffix(".*") for key in NOT_BUILT_YET if key.endswith(".*")} <= set(SECTIONS)
