"""REST errors: one shape for all, `{"type":"NACK","message_id":...,"data":"text","error":{...}}`."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from server.core.model import Refused
from server.protocol import ErrorCode, ErrorInfo

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
}
_BY_STATUS: Final = {401: ErrorCode.UNAUTHORIZED, 403: ErrorCode.FORBIDDEN, 404: ErrorCode.NOT_FOUND}
_RETRY_AFTER: Final = 1  # seconds, where nothing better is known


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


def not_found(what: str) -> ApiError:
    """404: there is no such thing, or it is another's."""
    return ApiError(Refused(ErrorCode.NOT_FOUND, f"{what} not found"))


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: what it may answer beside success."""
    return {status: {"model": ErrorBody} for status in (422, *statuses)}


def install_error_handlers(app: FastAPI) -> None:
    """No error shows a stack trace, SQL or a path."""

    @app.exception_handler(ApiError)
    async def on_api_error(request: Request, fault: ApiError) -> JSONResponse:
        return _answer(_STATUS.get(fault.why.code, 422), fault.why, fault.message_id)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, fault: RequestValidationError) -> JSONResponse:
        return _answer(422, Refused(ErrorCode.VALIDATION_FAILED, _describe(fault)), _message_id(fault.body))

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, fault: HTTPException) -> JSONResponse:
        code = _BY_STATUS.get(fault.status_code, ErrorCode.VALIDATION_FAILED)
        answer = _answer(fault.status_code, Refused(code, str(fault.detail)), None)
        answer.headers.update(fault.headers or {})
        return answer

    @app.exception_handler(Exception)
    async def on_fault(request: Request, fault: Exception) -> JSONResponse:
        return _answer(500, Refused(ErrorCode.INTERNAL_ERROR, "a fault of the server"), None)


def _answer(status: int, why: Refused, message_id: str | None) -> JSONResponse:
    info = ErrorInfo(code=why.code, retryable=why.code.retryable, retry_after=why.retry_after)
    body = ErrorBody(message_id=message_id, data=why.text, error=info)
    content = body.model_dump(mode="json", exclude_none=True) | {"message_id": message_id}
    headers = {}
    if status in (429, 503):
        headers["Retry-After"] = str(max(_RETRY_AFTER, round(why.retry_after or 0)))
    return JSONResponse(content, status, headers)


def _describe(fault: RequestValidationError) -> str:
    first = fault.errors()[0]
    if first["type"] == "json_invalid":
        return "the body is not valid JSON"
    field = ".".join(str(part) for part in first["loc"][1:]) or "body"
    return f"{field}: {first['msg'][:1].lower()}{first['msg'][1:]}"


def _message_id(body: Any) -> str | None:
    found = body.get("message_id") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
