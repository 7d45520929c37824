"""chatctl chat"""

import asyncio
import io
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer

from chatctl.chat.piped import lines_of, send_lines
from chatctl.chat.reading import ReadMarks
from chatctl.chat.rendering import plain_line
from chatctl.chat.transcript import Kind, Line, Transcript
from chatctl.client.aio import ChatClient
from chatctl.client.errors import HistoryUnavailable, MessageFailed, SessionEnded
from chatctl.client.events import Message
from chatctl.failure import FAILED, MISUSED, CommandError
from chatctl.options import DEFAULT_URL, ApiKey, Json, Url, command_app, examples
from chatctl.output import print_json_line
from chatctl.text import printable
from server.protocol import ABNORMAL_CLOSURE, is_identifier

_GOODBYE_SECONDS = 3.0  # for the last receipt

app = command_app()


@app.command(
    epilog=examples(
        "chatctl chat user123 conv_user123_ai_alex",
        'echo "Good morning" | chatctl chat user123 conv_user123_ai_alex',
        'echo "How are you?" | chatctl chat user123 conv_user123_ai_alex --wait 10',
        "chatctl chat user123 conv_user123_ai_alex --token $(chatctl token user123)",
    )
)
def command(
    user: Annotated[str, typer.Argument(help="Who chats.")],
    conversation: Annotated[str, typer.Argument(help="The conversation's id.")],
    client_id: Annotated[
        str | None,
        typer.Option(help="The device; the same one twice replaces the first.", show_default="new"),
    ] = None,
    token: Annotated[
        str,
        typer.Option(envvar="CHATCTL_TOKEN", help="The user's JWT, where they are on.", show_default=False),
    ] = "",
    history: Annotated[int, typer.Option(min=0, max=200, help="Earlier messages to begin with.")] = 20,
    wait: Annotated[
        float, typer.Option(min=0, help="In a pipe: seconds to go on listening after the last line.")
    ] = 0,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = "",
    as_json: Json = False,
) -> None:
    """Chat in the terminal; run it twice and you have two devices.

    A grey tick is on its way, two green ones are saved, a red cross has failed. In a pipe each line of
    the input is sent as a message, and what happens is printed; a message that fails makes exit code 1.
    """
    for name, value in (("USER", user), ("CONVERSATION", conversation), ("--client-id", client_id)):
        if value is not None and not is_identifier(value):
            raise CommandError(f"{name}: 1 to 128 letters, digits or . _ : @ -", exit_code=MISUSED)
    try:
        client = ChatClient(
            url, user, conversation, client_id=client_id, api_key=api_key, get_token=lambda: token or None
        )
    except ValueError as error:
        raise CommandError(str(error), exit_code=MISUSED) from None
    if as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        delivered = asyncio.run(_in_a_pipe(client, wait, as_json))
    else:
        delivered = asyncio.run(_in_a_terminal(client, history))
    raise typer.Exit(0 if delivered else FAILED)


async def _in_a_terminal(client: ChatClient, history: int) -> bool:
    from chatctl.chat.terminal import Terminal  # its libraries take a while, and a pipe needs none of them

    transcript = Transcript(client.session.user_id)
    async with _connected(client):
        await Terminal(client, transcript).talk(await _earlier(client, transcript, history))
        _raise_if_ended(client)
    return not transcript.under_way


async def _earlier(client: ChatClient, transcript: Transcript, limit: int) -> list[Line]:
    assert client.session.welcome is not None
    welcome = client.session.welcome
    transcript.welcome(welcome)
    if not limit:
        return []
    try:
        return transcript.recall(await client.history(before_seq=welcome.last_seq + 1, limit=limit))
    except HistoryUnavailable as error:
        return [Line(Kind.NOTE, str(error))]


async def _in_a_pipe(client: ChatClient, wait: float, as_json: bool) -> bool:
    transcript, marks = Transcript(client.session.user_id), ReadMarks(client)
    async with _connected(client):
        printing = asyncio.create_task(_print_events(client, transcript, marks, as_json))
        sending = asyncio.create_task(_send_input(client, transcript, wait, as_json))
        await asyncio.wait((printing, sending), return_when=asyncio.FIRST_COMPLETED)
        _raise_if_ended(client)
        marks.send()
        await client.flush(_GOODBYE_SECONDS)
    await printing
    return sending.result()


async def _send_input(client: ChatClient, transcript: Transcript, wait: float, as_json: bool) -> bool:
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    tell = _print_nack if as_json else _tell_failure
    delivered = await send_lines(client, lines_of(sys.stdin), transcript.sent, tell)
    await asyncio.sleep(wait)
    return delivered


async def _print_events(client: ChatClient, transcript: Transcript, marks: ReadMarks, as_json: bool) -> None:
    async for event in client:
        lines = transcript.apply(event, 0.0)
        if as_json and isinstance(event, Message):
            print_json_line(event.frame)
        elif not as_json:
            for line in lines:
                if line.kind is not Kind.DAY:
                    print(plain_line(line), flush=True)
        marks.shown(transcript.newest_of_ai)


@asynccontextmanager
async def _connected(client: ChatClient) -> AsyncIterator[None]:
    try:
        await client.connect(keep_trying=False)
        yield
    except SessionEnded as ended:
        raise CommandError(_why(client, ended)) from None
    finally:
        await client.close()


def _why(client: ChatClient, ended: SessionEnded) -> str:
    if ended.code == ABNORMAL_CLOSURE:
        return f"cannot reach {client.url}: {ended.reason}"
    return f"the server ended the chat: {ended}"


def _raise_if_ended(client: ChatClient) -> None:
    if client.ended:
        raise SessionEnded(client.ended.code, client.ended.reason)


def _tell_failure(failure: MessageFailed) -> None:
    print(f"chatctl: not delivered: {printable(str(failure))}", file=sys.stderr, flush=True)


def _print_nack(failure: MessageFailed) -> None:
    error = {"code": failure.code, "retryable": failure.retryable, "retry_after": failure.retry_after}
    message_id = failure.message.message_id
    print_json_line({"type": "NACK", "message_id": message_id, "data": failure.text, "error": error})
