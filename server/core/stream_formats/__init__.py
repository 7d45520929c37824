"""Takes the visible text out of an AI's stream: from bytes to text, without I/O and without a clock."""

from server.core.stream_formats.faults import error_text
from server.core.stream_formats.parser import StreamParser, chat_completion_parser, make_parser

__all__ = ["StreamParser", "chat_completion_parser", "error_text", "make_parser"]
