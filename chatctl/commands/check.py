"""chatctl check"""

import uuid
from contextlib import suppress
from typing import Annotated, Any

import typer

from chatctl.api import Api, RefusedError, segment
from chatctl.failure import FAILED, MISUSED, CommandError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_json, print_lines
from chatctl.probe import ack_milliseconds
from chatctl.tokens import subject_of

PROBE_USER = "chatctl-check"

app = command_app()


@app.command(
    epilog=examples(
        "chatctl check",
        "chatctl check --max-ack-ms 50 --json",
        "CHATCTL_TOKEN=$(chatctl token probe) chatctl check --url https://chat.example",
    )
)
def command(
    max_ack_ms: Annotated[float, typer.Option(min=0, help="Above it the check fails.")] = 1000.0,
    token: Annotated[
        str | None, typer.Option(envvar="CHATCTL_TOKEN", help="A JWT, where the server asks for one.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each answer.")] = 10.0,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Probe a server for monitoring: exit code 0 or 1.

    Asks for its health, then sends a message into a conversation made for it and waits for the ACK.
    """
    user = _subject(token) if token else PROBE_USER
    with Api(url, api_key, timeout=timeout) as api:
        report = _probe(api, user, token, max_ack_ms, timeout)
    if as_json:
        print_json(report)
    elif report["ok"]:
        print_lines(f"ok: healthy, ACK in {report['ack_ms']:.1f} ms")
    else:
        raise CommandError(report["fault"])
    if not report["ok"]:
        raise typer.Exit(FAILED)


def _probe(api: Api, user: str, token: str | None, max_ack_ms: float, timeout: float) -> dict[str, Any]:
    """What was found; `fault` says why it is not ok."""
    report: dict[str, Any] = {"ok": False, "fault": None, "ack_ms": None, "max_ack_ms": max_ack_ms}
    try:
        report["health"] = api.health()
        if (status := _status(report["health"])) != "ok":
            return report | {"fault": f"the server is {status}"}
        report["ack_ms"] = round(_ack(api, user, token, timeout), 3)
    except CommandError as error:
        return report | {"fault": str(error)}
    if report["ack_ms"] > max_ack_ms:
        return report | {"fault": f"the ACK took {report['ack_ms']:.1f} ms, above {max_ack_ms:g} ms"}
    return report | {"ok": True}


def _status(health: Any) -> str:
    try:
        return str(health["status"])
    except (LookupError, TypeError):
        raise CommandError("it does not tell its health like a chat server") from None


def _ack(api: Api, user: str, token: str | None, timeout: float) -> float:
    conversation = f"{PROBE_USER}-{uuid.uuid4()}"
    # Whoever may not create or delete conversations by REST can still measure, and leaves one behind.
    with suppress(RefusedError):
        ai = {"id": "ai", "name": "check"}
        api.post("/api/conversations", user_id=user, ai=ai, conversation_id=conversation)
    try:
        return ack_milliseconds(api.url, user, conversation, token, timeout)
    finally:
        with suppress(CommandError):
            api.delete(f"/api/conversations/{segment(conversation)}")


def _subject(token: str) -> str:
    try:
        return subject_of(token)
    except ValueError as error:
        raise CommandError(f"--token: {error}", exit_code=MISUSED) from None
