"""What the bodies of requests have in common: they are read strictly, and described exactly."""

import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError, from_json

# Judged by `check_text`, whose answers say more than a pattern's.
Text = Annotated[
    str,
    Field(
        description="Not only white space, and without NUL characters.",
        json_schema_extra={"minLength": 1, "pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"},
    ),
]


def _is_number(value: Any) -> Any:
    if type(value) not in (int, float):
        raise PydanticCustomError("number_type", "should be a number")
    return value


# 12.0 is one too, by JSON's measure; "12" and true are none.
Positive = Annotated[int, Field(ge=1), BeforeValidator(_is_number)]


class _StrictRequest(Request):
    async def json(self) -> Any:
        """Raises JSONDecodeError; Python's own reader takes NaN and lone surrogates, and fails in other ways
        on nesting and numbers beyond all reason and on what is no UTF-8.
        """
        try:
            return from_json(await self.body(), allow_inf_nan=False)
        except ValueError as fault:
            raise json.JSONDecodeError(str(fault), "", 0) from None


class StrictJsonRoute(APIRoute):
    """For `APIRouter(route_class=...)`: what no frame could hold is no body either."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read_strictly(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return read_strictly


def not_both(first: str, second: str) -> dict[str, Any]:
    """JSON schema of an object in which at most one of two fields has a value."""
    return {"anyOf": [{"properties": {name: {"type": "null"}}} for name in (first, second)]}


def one_of(first: str, second: str) -> dict[str, Any]:
    """JSON schema of an object in which exactly one of two fields has a value."""
    has = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in (first, second)]
    return {"oneOf": has}
