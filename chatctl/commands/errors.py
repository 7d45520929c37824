"""chatctl errors"""

from difflib import get_close_matches
from typing import Annotated

import typer

from chatctl.advice import CLOSES, ERRORS
from chatctl.failure import MISUSED, CommandError
from chatctl.options import Json, command_app, examples
from chatctl.output import print_json, print_table
from server.protocol import ABNORMAL_CLOSURE, CloseCode, reconnects_after

app = command_app()


@app.command(epilog=examples("chatctl errors rate_limited", "chatctl errors 4002", "chatctl errors"))
def command(
    code: Annotated[str, typer.Argument(help="A NACK's code or a close code; all of them without.")] = "",
    as_json: Json = False,
) -> None:
    """Tell what a NACK or close code means and what to do."""
    entries = _all()
    if code:
        entries = [
            entry for entry in entries if code.lower() in (entry["code"], entry.get("name", "").lower())
        ]
    if not entries:
        raise CommandError(f"no such code: {code}{_suggestion(code)}", exit_code=MISUSED)
    if as_json:
        print_json(entries[0] if code else entries)
    elif code:
        _explain(entries[0])
    else:
        print_table(
            ("code", "then", "means"), [(_title(entry), entry["then"], entry["meaning"]) for entry in entries]
        )


def _all() -> list[dict[str, str]]:
    return [
        {"code": error.value, "then": "retry" if error.retryable else "do not retry", **advice._asdict()}
        for error, advice in ERRORS.items()
    ] + [
        {
            "code": str(int(close)),
            "name": _name(close),
            "then": "reconnect" if reconnects_after(close) else "do not reconnect",
            **advice._asdict(),
        }
        for close, advice in CLOSES.items()
    ]


def _name(close: int) -> str:
    return "ABNORMAL_CLOSURE" if close == ABNORMAL_CLOSURE else CloseCode(close).name


def _title(entry: dict[str, str]) -> str:
    return f"{entry['code']} {entry.get('name', '')}".strip()


def _explain(entry: dict[str, str]) -> None:
    print(f"{_title(entry)} ({entry['then']})")
    print(f"  {entry['meaning']}")
    print(f"  What to do: {entry['remedy']}")


def _suggestion(code: str) -> str:
    near = get_close_matches(code, [entry["code"] for entry in _all()], n=1)
    return f"; did you mean {near[0]}?" if near else " (chatctl errors lists them)"
