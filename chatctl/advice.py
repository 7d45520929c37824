"""Every NACK and close code in words: what `chatctl errors` tells."""

from typing import NamedTuple

from server.protocol import ABNORMAL_CLOSURE, CloseCode, ErrorCode


class Advice(NamedTuple):
    """What a code means, and what whoever gets it should do."""

    meaning: str
    remedy: str


ERRORS = {
    ErrorCode.INVALID_JSON: Advice(
        "The frame is not JSON, or JSON that strict parsers refuse (lone surrogates, extreme nesting).",
        "Send one JSON object in one text frame, UTF-8. Several of these in a row end the connection (1007).",
    ),
    ErrorCode.INVALID_FRAME: Advice(
        "The frame cannot be answered by ACK or NACK: no object, no usable message_id, or binary.",
        "Send an object with type and a message_id of 1 to 128 characters of A-Z a-z 0-9 . _ : @ -.",
    ),
    ErrorCode.VALIDATION_FAILED: Advice(
        "A field is missing or wrong; the text names it. Nothing was saved.",
        "Correct the field. The message_id is free and may be used again.",
    ),
    ErrorCode.EMPTY_MESSAGE: Advice(
        "The text is empty or only white space. Nothing was saved.",
        "Send text. A client best disables its send button while there is none.",
    ),
    ErrorCode.MESSAGE_TOO_LONG: Advice(
        "The text has more Unicode code points than the server takes. Nothing was saved.",
        "Keep to max_text_length of the welcome, or raise limits.max_text_length (max_ai_text_length).",
    ),
    ErrorCode.UNKNOWN_TYPE: Advice(
        "No such message type, or one that only the server sends.",
        "Send CHAT_MESSAGE, TYPING_INDICATOR, READ_RECEIPT, CANCEL_RESPONSE, AUTH_REFRESH, PING or PONG.",
    ),
    ErrorCode.NOT_AUTHORIZED: Advice(
        "The frame names another conversation than the connection's own, or the token does not allow it.",
        "Open one connection per conversation; refresh an expired token by AUTH_REFRESH.",
    ),
    ErrorCode.MESSAGE_ID_CONFLICT: Advice(
        "This conversation has a message with this id already, with other data or of another sender.",
        "Make a new message_id (a UUID) for each new message; repeat one only to resend the same message.",
    ),
    ErrorCode.RATE_LIMITED: Advice(
        "The user sends more than the sliding window allows, over all devices. Nothing was saved.",
        "Wait error.retry_after seconds and send again; or raise rate_limit.messages or rate_limit.signals.",
    ),
    ErrorCode.STORE_UNAVAILABLE: Advice(
        "The database did not take the message in store.timeout seconds. It was withdrawn and is not saved.",
        "Send it again later. Is the server's disk full, its database locked or down? chatctl doctor looks.",
    ),
    ErrorCode.OUTCOME_UNKNOWN: Advice(
        "The database was lost in the middle of a commit: the message may or may not be saved.",
        "Send it again with the same message_id: it is saved once at most, and the answer settles it.",
    ),
    ErrorCode.SHUTTING_DOWN: Advice(
        "The server is about to stop. Nothing was saved.",
        "Reconnect after reconnect_after of the SYSTEM shutdown message, and send again.",
    ),
    ErrorCode.INTERNAL_ERROR: Advice(
        "A fault of the server.",
        "Send it again with the same message_id; the server's log and GET /stats/errors tell more.",
    ),
    ErrorCode.UNAUTHORIZED: Advice(
        "REST: no API key, or a wrong one.",
        "Send Authorization: Bearer KEY or X-API-Key: KEY; chatctl takes --api-key or CHATCTL_API_KEY.",
    ),
    ErrorCode.FORBIDDEN: Advice(
        "REST: whoever calls is known but may not do this.",
        "Use an API key of auth.api_keys; a user's token reads that user's own conversations only.",
    ),
    ErrorCode.NOT_FOUND: Advice(
        "REST: there is no such conversation, message, user or connection, or it is another's.",
        "Check the id; chatctl conversations USER lists a user's conversations.",
    ),
    ErrorCode.CONFLICT: Advice(
        "REST: what is there already differs: another owner, another AI, other text under this message_id.",
        "Use another id, or leave ai_id out to take the conversation's own.",
    ),
    ErrorCode.UPSTREAM_ERROR: Advice(
        "REST: the stream that was to become an answer had an error in it. Devices saw it aborted.",
        "Look at the model's provider; send the answer again once it works.",
    ),
    ErrorCode.TOO_LARGE: Advice(
        "REST: the body is over 1 MiB.",
        "Send less at once.",
    ),
}

CLOSES: dict[int, Advice] = {
    CloseCode.NORMAL: Advice(
        "The client or an operator ended the connection.",
        "Nothing. chatctl events tells which of the two it was.",
    ),
    CloseCode.GOING_AWAY: Advice(
        "The server shuts down or is drained.",
        "Reconnect after reconnect_after of the SYSTEM shutdown message, with jitter.",
    ),
    CloseCode.PROTOCOL_ERROR: Advice(
        "The WebSocket protocol was broken: an unmasked or reserved frame, say.",
        "Mend the client's WebSocket library, or the proxy between.",
    ),
    CloseCode.INVALID_DATA: Advice(
        "Invalid UTF-8, or limits.max_invalid_frames unusable frames in a row.",
        "Mend the client; the ERROR frames before the close say what was wrong with each.",
    ),
    ABNORMAL_CLOSURE: Advice(
        "The connection ended without a close frame: a network was lost, or a process or proxy ended it. "
        "No frame carries this code; clients and statistics show it.",
        "Reconnect with last_seq. Where it comes after a fixed time, raise a proxy's idle timeout.",
    ),
    CloseCode.POLICY_VIOLATION: Advice(
        "Not authorised, not the owner, a bad identifier, a refused origin, or too many connections.",
        "The reason in the close frame says which. Reconnecting does not help.",
    ),
    CloseCode.MESSAGE_TOO_BIG: Advice(
        "A frame of more than limits.max_frame_bytes.",
        "Send shorter frames, or raise the limit.",
    ),
    CloseCode.INTERNAL_ERROR: Advice(
        "A fault of the server.",
        "Reconnect with last_seq; the server's log and GET /stats/errors tell more.",
    ),
    CloseCode.TRY_AGAIN_LATER: Advice(
        "The server is full (connections.max_total).",
        "Reconnect slowly, from 5 seconds on with backoff; or raise the limit, or add a node.",
    ),
    CloseCode.HEARTBEAT_TIMEOUT: Advice(
        "No frame came from the client for heartbeat.timeout seconds. WebSocket-level pongs do not count.",
        "Answer each PING with a PONG; reconnect with last_seq.",
    ),
    CloseCode.SLOW_CONSUMER: Advice(
        "The device read too slowly and its send queue ran over.",
        "Reconnect with last_seq: what was missed is replayed. connections.send_queue is the bound.",
    ),
    CloseCode.TOKEN_EXPIRED: Advice(
        "The JWT ran out while connected.",
        "Reconnect with a new token; AUTH_REFRESH renews it without a reconnect.",
    ),
    CloseCode.REPLACED: Advice(
        "The same client_id connected again to this conversation, and the newest wins.",
        "Do not reconnect: the other one is live. Two tabs need two client_ids.",
    ),
}
