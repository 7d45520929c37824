import os
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
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
        "root_path": "",
        "web_client": True,
    },
    "heartbeat": {"interval": 30.0, "timeout": 60.0},
    "limits": {
        "max_text_length": 4000,
        "max_ai_text_length": 32000,
        "max_frame_bytes": 65536,
        "max_invalid_frames": 10,
    },
    "rate_limit": {"messages": 30, "window": 10.0, "enabled": True, "signals": 100, "joins": 60},
    "connections": {"max_total": 10000, "max_per_ip": 100, "max_per_user": 20, "send_queue": 256},
    "session": {"ttl": 300.0},
    "recovery": {"max_messages": 500},
    "conversations": {"auto_create": True},
    "typing": {"timeout": 4.0, "ai_timeout": 30.0},
    "store": {
        "url": "sqlite:///chat.db",
        "durability": "full",
        "timeout": 5.0,
        "pool": 8,
        "retention": 0.0,
    },
    "backplane": {"url": "", "node_ttl": 5.0},
    "auth": {
        "jwt_secret": SecretStr(""),
        "jwt_public_key_file": "",
        "jwt_algorithms": ("HS256",),
        "jwt_audience": "",
        "jwt_leeway": 5.0,
        "api_keys": (),
    },
    "ai": {
        "responder": "none",
        "typing_delay": (1.0, 3.0),
        "history": 20,
        "turn_wait": 0.8,
        "turn_max_wait": 8.0,
        "interrupt": "queue",
        "stream_rollup": 40,
        "webhook_url": "",
        "webhook_secrets": (),
        "webhook_events": (),
        "webhook_timeout": 60.0,
        "webhook_attempts": 12,
        "webhook_concurrency": 64,
        "base_url": "https://api.openai.com/v1",
        "model": "",
        "api_key": SecretStr(""),
        "params": {},
        "first_token_timeout": 60.0,
        "idle_timeout": 30.0,
        "answer_timeout": 300.0,
        "personas": (),
        "simulate_status": False,
    },
    "moderation": {"url": "", "secrets": (), "timeout": 1.5, "on_failure": "allow"},
    "disclosure": {"text": "", "every": 10800.0, "every_minor": 3600.0, "pause": 1800.0},
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
        "CHAT_AI__PERSONAS": '[{"id": "ai", "name": "A", "prompt": "", "params": {"top_p": 1}}]',
        "CHAT_AI__PARAMS": '{"temperature": 0.5, "stop": ["."]}',
        "CHAT_SERVER__WEB_CLIENT": "off",
        "CHAT_LOG__LEVEL": "WARNING",
    }
    settings = load(tmp_path, env=env)
    assert settings.ai.typing_delay == (0.5, 1.0)
    assert (settings.ai.personas[0].name, settings.ai.personas[0].params) == ("A", {"top_p": 1})
    assert settings.ai.params == {"temperature": 0.5, "stop": ["."]}
    assert (settings.server.web_client, settings.log.level) == (False, "warning")


def test_a_key_that_is_a_table_is_replaced_as_a_whole(tmp_path: Path) -> None:
    toml = "[ai.params]\ntemperature = 1.0\nmax_tokens = 5"
    assert load(tmp_path, toml).ai.params == {"temperature": 1.0, "max_tokens": 5}
    assert load(tmp_path, toml, env={"CHAT_AI__PARAMS": '{"seed": 1}'}).ai.params == {"seed": 1}
    assert load(tmp_path, toml, env={"CHAT_AI__PARAMS": ""}).ai.params == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1,", "should be a list"),
        ("{", "should be a list"),
        ("[" * 100_000, "should be a list"),
        ("[[1], 2]", "should be a valid number"),
        ("0.5,x", "should be a valid number"),
    ],
)
def test_a_variable_that_is_no_list_is_one_fault(tmp_path: Path, text: str, fault: str) -> None:
    (line,) = faults(tmp_path, env={"CHAT_AI__TYPING_DELAY": text})
    assert line.startswith("ai.typing_delay")
    assert line.endswith(f"(environment variable CHAT_AI__TYPING_DELAY): {fault}")


@pytest.mark.parametrize("text", ["x", "", "9" * 5000, "[" * 100_000, "1e400"])
def test_what_is_no_number_in_a_variable_is_one_fault(tmp_path: Path, text: str) -> None:
    (line,) = faults(tmp_path, env={"CHAT_SERVER__PORT": text})
    assert line.endswith("(environment variable CHAT_SERVER__PORT): should be a valid integer")


def test_a_byte_order_mark_before_the_file_is_passed_over(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeff[server]\nport = 7").server.port == 7


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_of_another_encoding_is_one_line_that_says_so(tmp_path: Path, encoding: str) -> None:
    file = tmp_path / "chat.toml"
    file.write_text('[server]\nhost = "ä"', encoding=encoding)
    with pytest.raises(SettingsError) as raised:
        load_settings(file, {}, {})
    (line,) = raised.value.faults
    assert line.startswith(f"{file}: no UTF-8: ")


def test_a_file_that_is_a_pipe_is_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = Thread(target=pipe.write_text, args=["[server]\nport = 7"])
    writer.start()
    assert load_settings(pipe, {}, {}).server.port == 7
    writer.join()


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
        (
            '[[ai.personas]]\nid = "a"\nname = "A"\nprompt = ""\nmodle = "m"',
            'ai.personas[0].modle = "m" (chat.toml): unknown key',
        ),
        ("[ai]\nparams = 1", "ai.params = 1 (chat.toml): should be a table"),
        (
            '[store]\nurl = "memory://x"',
            'store.url = "memory://x" (chat.toml): should be memory:// and nothing behind it',
        ),
        (
            '[server]\nroot_path = "/api"',
            'server.root_path = "/api" (chat.toml): is a path of the server\'s own',
        ),
        (
            '[server]\nhost = "[::1"',
            'server.host = "[::1" (chat.toml): has brackets, but no IPv6 address between them',
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
        "[store]\npool = 0",
        "[store]\nretention = -1",
        "[backplane]\nnode_ttl = 0",
        '[backplane]\nurl = "redis://"',
        "[auth]\njwt_leeway = -1",
        "[rate_limit]\njoins = 0",
        '[server]\nroot_path = "chat"',
        '[server]\nroot_path = "/chat/"',
        '[server]\nroot_path = "/a/../b"',
        '[ai]\ninterrupt = "stop"',
        "[ai]\nstream_rollup = -1",
        "[ai]\nwebhook_attempts = 0",
        '[ai]\nwebhook_secrets = ["hush"]',
        '[ai]\nwebhook_secrets = ["whsec_"]',
        '[ai]\nwebhook_secrets = ["whsec_!"]',
        '[ai]\nwebhook_events = ["read"]',
        '[ai]\nwebhook_url = "http://h"\nwebhook_events = ["reads"]',
        '[ai]\nresponder = "openai"',
        '[ai]\nresponder = "openai"\nmodel = "m"\nbase_url = ""',
        "[ai.params]\ntop_p = nan",
        "[ai.params]\nsince = 2026-01-01",
        '[moderation]\nurl = "https://"',
        '[moderation]\nsecrets = ["whsec_"]',
        '[moderation]\non_failure = "ask"',
        "[disclosure]\nevery = 0",
    ],
)
def test_values_that_make_no_sense_are_one_fault(tmp_path: Path, toml: str) -> None:
    assert len(faults(tmp_path, toml)) == 1


def test_a_fault_in_the_environment_names_the_variable(tmp_path: Path) -> None:
    assert faults(tmp_path, env={"CHAT_SERVER__PORT": "x"}) == (
        'server.port = "x" (environment variable CHAT_SERVER__PORT): should be a valid integer',
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
        '[ai]\nwebhook_secrets = ["5000777"]',
        '[ai]\nwebhook_secret = "5000777"',
        "[ai]\nparams = [{api_key = '5000777'}]",
        'password = "5000777"',
        '[store]\nurl = "postgres://user:5000777@host/db"',
        '[backplane]\nurl = "http://host?password=5000777"',
    ],
)
def test_no_secret_is_in_a_fault(tmp_path: Path, toml: str) -> None:
    found = "\n".join(faults(tmp_path, toml))
    assert "5000777" not in found
    assert "********" in found


LONG_SECRET, LONG_KEY = "s" * 32, "k" * 16


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "[::]", "192.0.2.1", "chat.example", "127.0.0.1.example"])
def test_a_public_address_needs_jwt_and_api_keys_or_insecure(tmp_path: Path, host: str) -> None:
    public = f'[server]\nhost = "{host}"\n'
    secret, key = f'jwt_secret = "{LONG_SECRET}"', f'api_keys = ["{LONG_KEY}"]'
    for protection in ("", f"[auth]\n{secret}", f"[auth]\n{key}"):
        assert "--insecure" in faults(tmp_path, public + protection)[0]
    load(tmp_path, f"{public}[auth]\n{secret}\n{key}")
    load(tmp_path, public, insecure=True)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("localhost", "localhost"),
        ("127.0.0.2", "127.0.0.2"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("::ffff:127.0.0.1", "::ffff:127.0.0.1"),
    ],
)
def test_loopback_needs_no_keys(tmp_path: Path, host: str, address: str) -> None:
    assert load(tmp_path, overrides={"server.host": host}).server.host == address


def test_secrets_that_can_be_guessed_are_refused_on_a_public_address_and_warned_of_elsewhere(
    tmp_path: Path,
) -> None:
    weak = f'[auth]\njwt_secret = "{"s" * 31}"\napi_keys = ["{LONG_KEY}", "{"k" * 15}"]\n'
    public = '[server]\nhost = "0.0.0.0"'
    lines = [
        'auth.jwt_secret = "********" (chat.toml): has fewer than 32 bytes and can be guessed from one token'
        " (openssl rand -hex 32 makes a good one)",
        'auth.api_keys = "********" (chat.toml): has a key of fewer than 16 characters, which can be guessed'
        " (openssl rand -hex 16 makes a good one)",
    ]
    assert list(faults(tmp_path, weak + public)) == lines
    for tolerated in (load(tmp_path, weak), load(tmp_path, weak + public, insecure=True)):
        assert [line.replace(f"{tmp_path}/", "") for line in warnings(tolerated)] == lines
    # 11 characters, but 33 bytes.
    assert not list(warnings(load(tmp_path, f'[auth]\njwt_secret = "{"鍵" * 11}"')))


def test_a_file_that_cannot_be_read_is_not_blamed_for_what_it_does_not_say(tmp_path: Path) -> None:
    assert len(faults(tmp_path, "= 1", {"server.host": "0.0.0.0"})) == 1


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


def test_what_is_not_built_yet_is_warned_of(tmp_path: Path) -> None:
    toml = """
    [store]\nurl = "postgresql://user:hush@host/db"\npool = 5
    [backplane]\nurl = "redis://host"
    [disclosure]\ntext = "This is an AI"
    """
    lines = [line.replace(f" ({tmp_path}/chat.toml)", "") for line in warnings(load(tmp_path, toml))]
    assert lines == ['disclosure.text = "This is an AI": not built yet, has no effect']


def test_a_manual_says_what_waits_for_its_feature() -> None:
    assert note("server.port") == ""
    assert note("backplane.url") == ""
    assert note("disclosure.text") == "Not built yet."


def test_settings_do_not_show_secrets_when_printed(tmp_path: Path) -> None:
    assert "hush" not in repr(load(tmp_path, env={"CHAT_AUTH__JWT_SECRET": "hush"}))


def test_keys_that_wait_for_their_feature_are_keys() -> None:
    assert {key for key in NOT_BUILT_YET if not key.endswith(".*")} <= set(keys())
    assert {key.removesuffix(".*") for key in NOT_BUILT_YET if key.endswith(".*")} <= set(SECTIONS)
