"""What the client raises. All of it is a `ChatError`:

ChatError
├── MessageFailed        one message; has code, text, retryable, retry_after
│   ├── MessageRefused     it was not saved and never will be: a retry takes a new message_id
│   └── MessageInDoubt     it may have been saved: a retry keeps its message_id
├── SessionEnded         no connection, and no further attempt; has code, reason
└── HistoryUnavailable   a page of the REST history could not be read; has status, code
"""

from chatctl.client.outgoing import Failure, Outgoing


class ChatError(Exception):
    """Something that the chat could not do."""


class MessageFailed(ChatError):
    """`code` is one of the protocol's, or `timeout` or `connection_lost`; `retry_after` is in seconds.

    `message` can be given to `ChatClient.retry`.
    """

    def __init__(self, message: Outgoing, failure: Failure) -> None:
        super().__init__(f"{failure.text} ({failure.code})")
        self.message = message
        self.code = failure.code
        self.text = failure.text
        self.retryable = failure.retryable
        self.retry_after = failure.retry_after


class MessageRefused(MessageFailed):
    """NACKed."""


class MessageInDoubt(MessageFailed):
    """Unanswered, or its outcome is unknown to the server itself."""


def error_of(message: Outgoing) -> MessageFailed:
    """The error that a failed message is."""
    assert message.failure is not None
    kind = MessageInDoubt if message.failure.outcome_open else MessageRefused
    return kind(message, message.failure)


class SessionEnded(ChatError):
    """`code` is the WebSocket close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason or 'the connection was closed'} ({code})")
        self.code = code
        self.reason = reason


class HistoryUnavailable(ChatError):
    """`status` is None where no answer came; `code` is the REST error's, where it had one."""

    def __init__(self, text: str, status: int | None = None, code: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
