"""Reads one JSON object of an AI's stream. Which provider made it is told by its shape."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from server.core.stream_formats.faults import upstream_error


class Piece(NamedTuple):
    """What one event of a stream brings. `reason`: why the model ended, in its provider's word."""

    text: str = ""
    reason: str | None = None
    is_thought: bool = False  # the model works, though nothing of that is text: reasoning, a tool call
    is_refusal: bool = False  # the text is the model's own words of refusal: they are for the user
    is_last: bool = False


NOTHING: Final = Piece()


def read_object(fields: Mapping[str, Any]) -> Piece | None:
    """Take text and reason out of an event; None where its shape is no provider's.

    Raises StreamFault where the event tells of an error.
    """
    if error := fields.get("error"):
        raise upstream_error(error)
    if isinstance(choices := fields.get("choices"), list):
        return _read_chat_chunk(choices)
    if isinstance(kind := fields.get("type"), str) and kind in _BY_TYPE:
        return _BY_TYPE[kind](fields)
    if isinstance(fields.get("done"), bool):
        return _read_ollama_line(fields)
    return None


def _read_chat_chunk(choices: list[Any]) -> Piece:
    """Read OpenAI's chat.completion.chunk, as many providers send it, each with fields of its own."""
    choice = next((it for it in choices if isinstance(it, dict) and not it.get("index")), None)
    if choice is None:  # Azure's first chunk, and the one with the usage
        return NOTHING
    if error := choice.get("error"):
        raise upstream_error(error)
    delta = _mapping(choice.get("delta"))
    reason = _string(choice.get("finish_reason")) or None  # "": an old Ollama's "not yet"
    refusal = _string(delta.get("refusal"))
    is_thought = any(value for key, value in delta.items() if key != "role")
    return Piece(_content(delta.get("content")) + refusal, reason, is_thought, bool(refusal))


def _content(content: Any) -> str:
    """Read a delta's content: text, null, or a list of parts with thoughts among them (Mistral)."""
    if isinstance(content, list):
        parts = [_mapping(part) for part in content]
        return "".join(_string(part.get("text")) for part in parts if part.get("type") == "text")
    return _string(content)


def _read_ollama_line(fields: Mapping[str, Any]) -> Piece:
    """Read a line of Ollama's /api/chat, or of /api/generate."""
    text = _string(_mapping(fields.get("message")).get("content")) or _string(fields.get("response"))
    return Piece(text, _string(fields.get("done_reason")) or None)


def _read_delta(fields: Mapping[str, Any]) -> Piece:
    return Piece(_string(fields.get("delta")))


def _read_refusal(fields: Mapping[str, Any]) -> Piece:
    return Piece(_string(fields.get("delta")), is_refusal=True)


def _read_incomplete_response(fields: Mapping[str, Any]) -> Piece:
    details = _mapping(_mapping(fields.get("response")).get("incomplete_details"))
    return Piece(reason=_string(details.get("reason")) or "incomplete")


def _read_failed_response(fields: Mapping[str, Any]) -> Piece:
    raise upstream_error(_mapping(fields.get("response")).get("error") or "response.failed")


def _read_block_start(fields: Mapping[str, Any]) -> Piece:
    return Piece(_string(_mapping(fields.get("content_block")).get("text")))


def _read_block_delta(fields: Mapping[str, Any]) -> Piece:
    return Piece(_string(_mapping(fields.get("delta")).get("text")))  # no other delta has a `text`


def _read_message_delta(fields: Mapping[str, Any]) -> Piece:
    return Piece(reason=_string(_mapping(fields.get("delta")).get("stop_reason")) or None)


def _read_finish(fields: Mapping[str, Any]) -> Piece:
    return Piece(reason=_string(fields.get("finishReason")) or None)


def _read_abort(fields: Mapping[str, Any]) -> Piece:
    raise upstream_error(_string(fields.get("reason")) or "abort")


def _read_error(fields: Mapping[str, Any]) -> Piece:
    raise upstream_error(dict(fields))


_BY_TYPE: Final[Mapping[str, Callable[[Mapping[str, Any]], Piece]]] = {
    # OpenAI Responses
    "response.output_text.delta": _read_delta,
    "response.refusal.delta": _read_refusal,
    "response.incomplete": _read_incomplete_response,
    "response.failed": _read_failed_response,
    # Anthropic messages
    "content_block_start": _read_block_start,
    "content_block_delta": _read_block_delta,
    "message_delta": _read_message_delta,
    # AI SDK UI message stream
    "text-delta": _read_delta,
    "finish": _read_finish,
    "abort": _read_abort,
    # AG-UI
    "TEXT_MESSAGE_CONTENT": _read_delta,
    "TEXT_MESSAGE_CHUNK": _read_delta,
    "RUN_ERROR": _read_error,
    # OpenAI Responses, AI SDK UI
    "error": _read_error,
}


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
