from pathlib import Path

from tests.chatctl.conftest import Run


def test_every_fault_of_the_settings_is_a_line_and_exit_code_2(chatctl: Run, empty_folder: Path) -> None:
    (empty_folder / "config.toml").write_text("[heartbeat]\ntimeout = 1\n")
    assert chatctl("serve", "--port", "99999", "--log-level", "loud") == (
        2,
        "",
        "chatctl: server.port = 99999 (option --port): should be less than or equal to 65535\n"
        'chatctl: log.level = "loud" (option --log-level):'
        " should be 'debug', 'info', 'warning' or 'error'\n"
        "chatctl: heartbeat.timeout = 1.0 (config.toml):"
        " should be above heartbeat.interval = 30.0 (default)\n",
    )
