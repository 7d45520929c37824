"""chatctl send-ai"""

import codecs
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from chatctl.api import Api
from chatctl.failure import MISUSED, CommandError
from chatctl.finish import finish_in_words
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_json
from chatctl.text import printable

STREAM_PATH = "/api/stream-ai-message"
# Between two words of a MESSAGE that is streamed: about the pace of a language model.
WORD_PAUSE = 0.05

app = command_app()


@app.command(
    epilog=examples(
        """chatctl send-ai conv_user123_ai_alex "Hi! How's your day?" """.rstrip(),
        'chatctl send-ai conv_user123_ai_alex "Let me think..." --typing',
        "echo Hello | chatctl send-ai conv_user123_ai_alex -",
    )
)
def command(
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    message: Annotated[str, typer.Argument(help="The text; - reads standard input.")],
    typing: Annotated[bool, typer.Option("--typing", help="Show the AI typing for a while first.")] = False,
    stream: Annotated[
        bool,
        typer.Option("--stream", help="Send piece by piece, as it is written."),
    ] = False,
    message_id: Annotated[str | None, typer.Option(help="Sent twice, it is saved once.")] = None,
    ai_id: Annotated[str | None, typer.Option(help="Who speaks; must be the conversation's AI.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Send a message as the AI to all devices of a conversation."""
    if typing and stream:
        raise CommandError("--typing does nothing with --stream: leave one of them out", exit_code=MISUSED)
    names = {"conversation_id": conversation, "message_id": message_id, "ai_id": ai_id}
    with Api(url, api_key) as api:
        if stream:
            answer = api.stream(STREAM_PATH, (piece.encode() for piece in _pieces(message)), **names)
        else:
            text = _standard_input() if message == "-" else message
            answer = api.post("/api/send-ai-message", message=text, simulate_typing=typing or None, **names)
    if as_json:
        print_json(answer)
    else:
        print(_told(answer))


def _told(answer: dict[str, Any]) -> str:
    devices, seq = answer["delivered_to"], answer.get("seq")
    if seq is None:
        return "stopped before it had begun: nothing was saved"
    done = "was saved before" if answer["duplicate"] else "saved"
    if finish := finish_in_words(answer.get("finish")):
        done = f"{done} {finish}"
    queued = f"queued to {devices} device{'' if devices == 1 else 's'}"
    return f"{done} as seq {seq}, {queued} (message_id {printable(answer['message_id'])})"


def _standard_input() -> str:
    """Reads all of it, without the line break that `echo` and editors put at the end."""
    return sys.stdin.read().removesuffix("\n").removesuffix("\r")


def _pieces(message: str) -> Iterator[str]:
    if message == "-":
        yield from _arriving()
        return
    for word in re.findall(r"\s*\S+|\s+$", message):
        yield word
        time.sleep(WORD_PAUSE)


def _arriving() -> Iterator[str]:
    """Yields what comes through standard input as soon as it comes, without the line break at the end."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    held_back = ""
    while data := os.read(sys.stdin.fileno(), 4096):
        text = held_back + decoder.decode(data)
        piece = text.removesuffix("\n").removesuffix("\r")
        held_back = text[len(piece) :]
        if piece:
            yield piece
