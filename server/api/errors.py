"""REST errors: one shape for all, `{"type":"NACK","message_id":...,"data":"text","error":{...}}`."""

import math
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from server.core.model import STORE_UNAVAILABLE, Refused
from server.ports import StoreUnavailable
from server.protocol import IDENTIFIER_RULE, ErrorCode, ErrorInfo, is_identifier
from server.runtime.base.metrics import Metrics

_STATUS: Final = {
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.STORE_UNAVAILABLE: 503,
    ErrorCode.OUTCOME_UNKNOWN: 503,
    ErrorCode.SHUTTING_DOWN: 503,
    ErrorCode.INTERNAL_ERROR: 500,
    ErrorCode.UNAUTHORIZED: 401,
    ErrorCode.FORBIDDEN: 403,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.MESSAGE_ID_CONFLICT: 409,
    ErrorCode.TOO_LARGE: 413,
    ErrorCode.UPSTREAM_ERROR: 502,
}
_BY_STATUS: Final = {401: ErrorCode.UNAUTHORIZED, 403: ErrorCode.FORBIDDEN, 404: ErrorCode.NOT_FOUND}
RETRY_AFTER: Final = 1  # seconds, where nothing better is known
_READING: Final = frozenset({"GET", "HEAD"})


class ErrorBody(BaseModel):
    """Every error's body."""

    type: str = "NACK"
    message_id: str | None = None
    data: str
    error: ErrorInfo


class ApiError(Exception):
    """An answer other than success; `message_id` is that of the request, where it had one."""

    def __init__(self, why: Refused, message_id: str | None = None) -> None:
        super().__init__(why.text)
        self.why = why
        self.message_id = message_id


def not_found(what: str, message_id: str | None = None) -> ApiError:
    """404: there is no such thing, or it is another's."""
    return ApiError(Refused(ErrorCode.NOT_FOUND, f"{what} not found"), message_id)


_EXAMPLES: Final = {
    401: (ErrorCode.UNAUTHORIZED, "an API key is needed"),
    403: (ErrorCode.FORBIDDEN, "a user's token reads that user's conversations only"),
    404: (ErrorCode.NOT_FOUND, "conversation not found"),
    409: (ErrorCode.CONFLICT, "ai_id: the conversation's AI is ai_alex"),
    413: (ErrorCode.TOO_LARGE, "the body is larger than 1048576 bytes"),
    422: (ErrorCode.VALIDATION_FAILED, "conversation_id: field required"),
    429: (ErrorCode.RATE_LIMITED, "too many requests"),
    500: (ErrorCode.INTERNAL_ERROR, "a fault of the server"),
    502: (ErrorCode.UPSTREAM_ERROR, "the stream ended with an error: overloaded"),
    503: (ErrorCode.STORE_UNAVAILABLE, "The database does not answer; try again"),
}
_MEANING: Final = {
    401: "No key, or a wrong one, where keys are asked for",
    403: "A user's token, where a service's key is asked for; or a page of another origin",
    404: "There is no such thing, or it is another's",
    409: "It contradicts what there is",
    413: "The body is larger than 1 MiB",
    422: "A field is missing or wrong; the text names it",
    429: "Too many requests; Retry-After tells when to try again",
    500: "A fault of the server",
    502: "The stream that was to be shown broke off, or told of an error",
    503: "The database does not answer, or the node drains; try again after Retry-After",
}


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: what it may answer beside success. Some may come from every route."""
    return {status: _described(status) for status in sorted({401, 403, 422, 500, *statuses})}


def write_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The same for a route that changes something or takes a body."""
    return error_responses(413, 503, *statuses)


def _described(status: int) -> dict[str, Any]:
    code, text = _EXAMPLES[status]
    example = error_body(Refused(code, text), "5f0c1a3b-77a1-4f0e-8a34-1f0c3d1e9b11")
    return {
        "model": ErrorBody,
        "description": _MEANING[status],
        "content": {"application/json": {"example": example}},
    }


def _info(why: Refused) -> dict[str, Any]:
    info = ErrorInfo(code=why.code, retryable=why.code.retryable, retry_after=why.retry_after)
    return info.model_dump(mode="json", exclude_none=True)


def install_error_handlers(app: FastAPI, metrics: Metrics) -> None:
    """No error shows a stack trace, SQL or a path. What was not done is kept for GET /stats/errors."""

    def answer(request: Request, status: int, why: Refused, message_id: str | None = None) -> JSONResponse:
        if status >= 500 or request.method not in _READING:
            metrics.record_error(why.code, why.text, route=_route(request), message_id=message_id)
        return error_answer(status, why, message_id)

    @app.exception_handler(ApiError)
    async def on_api_error(request: Request, fault: ApiError) -> JSONResponse:
        return answer(request, _STATUS.get(fault.why.code, 422), fault.why, fault.message_id)

    @app.exception_handler(StoreUnavailable)
    async def on_store_unavailable(request: Request, fault: Exception) -> JSONResponse:
        why = STORE_UNAVAILABLE._replace(text="The database does not answer; try again")
        return answer(request, 503, why)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, fault: RequestValidationError) -> JSONResponse:
        why = Refused(ErrorCode.VALIDATION_FAILED, _describe(fault))
        return answer(request, 422, why, _message_id(fault.body))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, fault: HTTPException) -> JSONResponse:
        headers = dict(fault.headers or {})
        if fault.status_code == 405 and (allowed := _allowed_methods(app, request.url.path)):
            headers["Allow"] = allowed
        code = _BY_STATUS.get(fault.status_code, ErrorCode.VALIDATION_FAILED)
        refusal = answer(request, fault.status_code, Refused(code, _reason(request, fault, headers)))
        refusal.headers.update(headers)
        return refusal

    @app.exception_handler(Exception)
    async def on_fault(request: Request, fault: Exception) -> JSONResponse:
        return answer(request, 500, Refused(ErrorCode.INTERNAL_ERROR, "a fault of the server"))


def _allowed_methods(app: FastAPI, path: str) -> str:
    """All that the path answers to; the framework names those of the first route alone."""
    found = {method.upper() for _, methods in _described_at(app, path) for method in methods}
    return ", ".join(sorted(found))


def _described_at(app: FastAPI, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Find what the OpenAPI document has for a path: under its own name, else under every template of it."""
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    if path in paths:
        return [(path, paths[path])]
    return [(it, methods) for it, methods in paths.items() if compile_path(it)[0].match(path)]


def error_answer(status: int, why: Refused, message_id: str | None = None) -> JSONResponse:
    """The whole response of an error."""
    return JSONResponse(error_body(why, message_id), status, _headers(status, why))


def error_body(why: Refused, message_id: str | None = None) -> dict[str, Any]:
    """The JSON of an error."""
    return {"type": "NACK", "message_id": message_id, "data": why.text, "error": _info(why)}


def _headers(status: int, why: Refused) -> dict[str, str]:
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status in (429, 503):
        headers["Retry-After"] = str(max(RETRY_AFTER, math.ceil(why.retry_after or 0)))
    return headers


def _describe(fault: RequestValidationError) -> str:
    first = fault.errors()[0]
    if first["type"] == "json_invalid":
        return "the body is not valid JSON"
    if first["loc"] == ("body",):
        return "the body must be one JSON object, with Content-Type: application/json"
    field = ".".join(str(part) for part in first["loc"][1:])
    if first["type"] == "string_pattern_mismatch":
        return f"{field}: {IDENTIFIER_RULE}"
    return f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _reason(request: Request, fault: HTTPException, headers: Mapping[str, str]) -> str:
    if fault.status_code == 404:
        return "there is no such route; GET /openapi.json lists them"
    if fault.status_code == 405:
        return f"{request.method} is not understood here: use {headers.get('Allow')}"
    return str(fault.detail)


def _route(request: Request) -> str:
    """Without the ids that are in its path."""
    return f"{request.method} {getattr(request.scope.get('route'), 'path', '')}".rstrip()


def _message_id(body: Any) -> str | None:
    found = body.get("message_id") if isinstance(body, dict) else None
    return found if isinstance(found, str) and is_identifier(found) else None
