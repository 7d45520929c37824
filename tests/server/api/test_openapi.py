"""The OpenAPI document describes every route, its answers and its faults."""

from collections.abc import Iterator
from typing import Any

from tests.support.server import RunningServer

WRITES = ("post", "delete")


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_every_route_of_the_contract_is_described_with_its_faults(api: RunningServer) -> None:
    document = api.get("/openapi.json").json()
    described = {(method, path) for path, method, _ in operations(document)}
    assert described >= {
        ("get", "/"),
        ("get", "/health"),
        ("get", "/health/live"),
        ("get", "/stats"),
        ("get", "/stats/conversations"),
        ("get", "/stats/connections"),
        ("get", "/stats/events"),
        ("get", "/stats/errors"),
        ("get", "/metrics"),
        ("post", "/api/send-ai-message"),
        ("post", "/api/typing"),
        ("post", "/api/read-receipts"),
        ("post", "/api/ai-status"),
        ("post", "/api/matches"),
        ("post", "/api/conversations"),
        ("get", "/api/conversations"),
        ("get", "/api/conversations/{conversation_id}"),
        ("delete", "/api/conversations/{conversation_id}"),
        ("delete", "/api/users/{user_id}"),
        ("get", "/api/conversations/{conversation_id}/messages"),
        ("get", "/api/conversations/{conversation_id}/messages/{message_id}"),
        ("post", "/api/system-messages"),
        ("get", "/api/users/{user_id}/presence"),
        ("get", "/api/users/{user_id}/export"),
        ("get", "/api/dead-letters"),
        ("post", "/api/dead-letters/replay"),
        ("delete", "/api/dead-letters/{conversation_id}"),
        ("post", "/api/webhook/pause"),
        ("post", "/api/webhook/resume"),
        ("post", "/api/drain"),
        ("delete", "/api/connections/{connection_id}"),
    }
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation.get("description"), where
        statuses = set(operation["responses"])
        if path.startswith(("/api", "/stats", "/metrics")):
            assert {"401", "422", "500"} <= statuses, where
        if path.startswith("/api") and method in WRITES:
            assert {"413", "503"} <= statuses, where
        for status, response in operation["responses"].items():
            if int(status) >= 400 and path != "/health":
                example = response["content"]["application/json"]["example"]
                assert set(example) == {"type", "message_id", "data", "error"}, where
        if "application/json" in operation.get("requestBody", {}).get("content", {}):
            assert _has_example(document, operation), where


def _has_example(document: dict[str, Any], operation: dict[str, Any]) -> bool:
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    reference = schema.get("$ref") or next(s["$ref"] for s in schema["anyOf"] if "$ref" in s)
    return bool(document["components"]["schemas"][reference.rsplit("/", 1)[1]].get("examples"))
