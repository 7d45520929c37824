"""Commands that are one REST call: what they ask, what they print."""

import json
import re
from typing import Any

import pytest

from tests.chatctl.conftest import Run
from tests.chatctl.rest_server import RestServer

MESSAGE = {
    "type": "CHAT_MESSAGE",
    "message_id": "m1",
    "conversation_id": "conv/a",
    "data": "Hey \x1b[31mAlex [bold]",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "sender": "user123",
    "seq": 7,
}
CONVERSATION = {
    "conversation_id": "conv_a",
    "user_id": "user123",
    "ai": {"id": "ai_alex", "name": "Alex"},
    "last_seq": 7,
    "last_message": MESSAGE,
    "last_read_seq": 5,
    "unread": 2,
}


def connection(name: str, queued: int, traffic: int, heartbeat_second: int) -> dict[str, Any]:
    return {
        "connection_id": name,
        "user_id": "user123",
        "conversation_id": "conv_a",
        "client_id": "phone",
        "session_id": "s",
        "ip": "10.0.0.1",
        "connected_at": "2026-01-01T00:00:00.000Z",
        "last_heartbeat": f"2026-01-01T00:00:{heartbeat_second:02}.000Z",
        "sent": traffic,
        "received": traffic,
        "queued": queued,
        "reconnects": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "route", "body", "answer", "sentence"),
    [
        (
            ["match", "user123", "ai_alex"],
            "POST /api/matches",
            {"user_id": "user123", "ai": {"id": "ai_alex", "name": "Alex"}},
            {"conversation_id": "c1"},
            "matched user123 with Alex in c1",
        ),
        (
            ["match", "u", "ai_alex", "--name", "Al", "--conversation", "c"],
            "POST /api/matches",
            {"user_id": "u", "ai": {"id": "ai_alex", "name": "Al"}, "conversation_id": "c"},
            {"conversation_id": "c"},
            "matched u with Al in c",
        ),
        (
            ["announce", "Hi"],
            "POST /api/system-messages",
            {"data": "Hi"},
            {"delivered_to": 0},
            "announced to everybody: 0 devices",
        ),
        (
            ["announce", "Hi", "--user", "u"],
            "POST /api/system-messages",
            {"data": "Hi", "user_id": "u"},
            {"delivered_to": 1},
            "announced to u: 1 device",
        ),
        (
            ["typing", "c", "on"],
            "POST /api/typing",
            {"conversation_id": "c", "is_typing": True},
            {},
            "typing is on in c",
        ),
        (
            ["typing", "c", "off", "--ai-id", "ai"],
            "POST /api/typing",
            {"conversation_id": "c", "is_typing": False, "ai_id": "ai"},
            {},
            "typing is off in c",
        ),
        (
            ["ai-status", "ai_alex", "away"],
            "POST /api/ai-status",
            {"ai_id": "ai_alex", "status": "away"},
            {},
            "ai_alex is away",
        ),
        (["webhook", "pause"], "POST /api/webhook/pause", {}, None, "deliveries are paused"),
        (["webhook", "resume"], "POST /api/webhook/resume", {}, None, "deliveries go on"),
        (
            ["dead-letters", "replay"],
            "POST /api/dead-letters/replay",
            {},
            {"replayed": 2},
            "2 sent again",
        ),
        (
            ["dead-letters", "replay", "c"],
            "POST /api/dead-letters/replay",
            {"conversation_id": "c"},
            {"replayed": 1},
            "1 sent again",
        ),
        (
            ["dead-letters", "drop", "a/b"],
            "DELETE /api/dead-letters/a%2Fb",
            None,
            None,
            "the dead letters of a/b are dropped",
        ),
        (["kick", "a/b"], "DELETE /api/connections/a%2Fb", None, None, "closed a/b"),
    ],
)
def test_a_command_asks_the_server_and_says_what_came_of_it(
    chatctl: Run,
    rest: RestServer,
    arguments: list[str],
    route: str,
    body: Any,
    answer: Any,
    sentence: str,
) -> None:
    rest.answers[route] = (200 if answer is not None else 204, answer)
    assert chatctl(*arguments) == (0, sentence + "\n", "")
    assert rest.requests[0].body == body
    assert json.loads(chatctl(*arguments, "--json").out) is not None


@pytest.mark.parametrize(
    "arguments",
    [
        ["match", "u", "ai"],
        ["announce", "Hi"],
        ["typing", "c", "on"],
        ["ai-status", "ai", "away"],
        ["kick", "x"],
        ["conversations", "u"],
        ["history", "c"],
        ["connections"],
        ["events"],
        ["drain"],
        ["dead-letters"],
        ["dead-letters", "drop", "c"],
        ["webhook", "pause"],
        ["trace", "m", "--conversation", "c"],
    ],
)
def test_what_the_server_refuses_is_one_line_and_exit_code_1(
    chatctl: Run, rest: RestServer, arguments: list[str]
) -> None:
    assert chatctl(*arguments) == (1, "", "chatctl: There is no such thing (not_found)\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["announce", "Hi", "--user", "u", "--conversation", "c"],
        ["typing", "c", "maybe"],
        ["dead-letters", "replay", "c", "--since", "2026-01-15T10:00:00Z"],
        ["ai-status", "ai", "asleep"],
        ["history", "c", "--after-seq", "1", "--before-seq", "9"],
        ["history", "c", "--limit", "500"],
    ],
)
def test_misuse_exits_2_without_asking_the_server(
    chatctl: Run, rest: RestServer, arguments: list[str]
) -> None:
    assert chatctl(*arguments).code == 2
    assert rest.requests == []


def test_what_is_not_utf_8_is_misuse(chatctl: Run, rest: RestServer) -> None:
    assert chatctl("announce", "a\udcffb") == (2, "", "chatctl: what is to be sent is not UTF-8\n")
    assert rest.requests == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--user", "nobody"], "nobody has no device connected: the announcement reached nobody"),
        (["--conversation", "c"], "nobody is connected to c: the announcement reached nobody"),
    ],
)
def test_an_announcement_that_reaches_nobody_has_failed(
    chatctl: Run, rest: RestServer, arguments: list[str], line: str
) -> None:
    rest.answers["POST /api/system-messages"] = (200, {"delivered_to": 0})
    assert chatctl("announce", "Hi", *arguments) == (1, "", f"chatctl: {line}\n")
    code, out, _ = chatctl("announce", "Hi", *arguments, "--json")
    assert (code, json.loads(out)) == (1, {"delivered_to": 0})


def test_conversations_are_a_table_with_unread_counts(chatctl: Run, rest: RestServer) -> None:
    rest.answers["GET /api/conversations"] = (200, {"items": [CONVERSATION], "has_more": False})
    out = chatctl("conversations", "user123").out
    assert rest.requests[0].query == {"user_id": "user123", "limit": "1000"}
    cells = re.split(r"\s{2,}", out.splitlines()[2].strip())
    assert cells == ["conv_a", "Alex", "7", "2", "Hey \\x1b[31mAlex [bold]"]


def test_history_shows_messages_and_nothing_in_them_steers_the_terminal(
    chatctl: Run, rest: RestServer
) -> None:
    rest.answers["GET /api/conversations/conv%2Fa/messages"] = (200, {"items": [MESSAGE], "has_more": False})
    out = chatctl("history", "conv/a", "--after-seq", "3").out
    assert "user123" in out
    assert "Hey \\x1b[31mAlex [bold]" in out
    assert rest.requests[0].query == {"limit": "50", "after_seq": "3"}


def test_an_export_is_printed_line_by_line(chatctl: Run, rest: RestServer) -> None:
    lines = [{"kind": "user", "user_id": "u"}, {"kind": "message", "data": "a\u2028b\x1b[2J"}]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    rest.answers["GET /api/users/u/export"] = (200, text.encode())
    code, out, err = chatctl("export", "u")
    assert (code, [json.loads(line) for line in out.splitlines()], err) == (0, lines, "")
    assert "\x1b" not in out
    assert chatctl("export", "v") == (1, "", "chatctl: There is no such thing (not_found)\n")


def test_history_all_reads_page_after_page(chatctl: Run, rest: RestServer) -> None:
    route = "GET /api/conversations/c/messages"

    def pages(after: int) -> tuple[int, Any]:
        items = [MESSAGE | {"seq": seq} for seq in range(after + 1, min(after + 200, 450) + 1)]
        return 200, {"items": items, "has_more": after + 200 < 450}

    rest.replies[route] = lambda request: pages(int(request.query["after_seq"]))
    document = json.loads(chatctl("history", "c", "--all", "--json").out)
    assert [item["seq"] for item in document["items"]] == list(range(1, 451))
    assert document["has_more"] is False


@pytest.mark.parametrize(("sort", "order"), [("queue", "abc"), ("traffic", "bca"), ("idle", "cab")])
def test_connections_are_sorted_as_asked(chatctl: Run, rest: RestServer, sort: str, order: str) -> None:
    rows = [connection("c", 0, 5, 1), connection("b", 1, 9, 9), connection("a", 7, 1, 5)]
    rest.answers["GET /stats/connections"] = (200, {"items": rows, "has_more": False})
    document = json.loads(chatctl("connections", "--sort", sort, "--json").out)
    assert "".join(row["connection_id"] for row in document["items"]) == order
    assert "10.0.0.1" in chatctl("connections").out
    limited = json.loads(chatctl("connections", "--limit", "2", "--json").out)
    assert (len(limited["items"]), limited["has_more"]) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "route"),
    [
        (["conversations", "user123"], "GET /api/conversations"),
        (["history", "a"], "GET /api/conversations/a/messages"),
        (["connections"], "GET /stats/connections"),
    ],
)
def test_a_list_that_goes_on_says_so_beside_the_table(
    chatctl: Run, rest: RestServer, arguments: list[str], route: str
) -> None:
    rest.answers[route] = (200, {"items": [], "has_more": False})
    assert chatctl(*arguments).err == ""
    rest.answers[route] = (200, {"items": [], "has_more": True})
    assert chatctl(*arguments).err.startswith("chatctl: there are more: ")
    assert chatctl(*arguments, "--json").err == ""


LETTER = {
    "conversation_id": "conv_a",
    "seqs": [5, 7],
    "attempts": 12,
    "last_error": "http://127.0.0.1:9000/turns answered 500: no reason given",
    "failed_at": "2026-01-15T10:30:04.511Z",
}


def test_dead_letters_are_a_table_and_shown_with_the_users_words(chatctl: Run, rest: RestServer) -> None:
    page = {"items": [LETTER], "has_more": False}
    rest.answers["GET /api/dead-letters"] = (200, page)
    answer = {"type": "AI_RESPONSE", "seq": 6, "data": "not the user's"}
    said = [MESSAGE | {"seq": 5, "data": "First"}, answer, MESSAGE]
    rest.answers["GET /api/conversations/conv_a/messages"] = (200, {"items": said, "has_more": False})
    assert json.loads(chatctl("dead-letters", "--json").out) == page
    listed = chatctl("dead-letters", "list")
    assert listed.out == chatctl("dead-letters").out
    assert all(part in listed.out for part in ("conv_a", "5, 7", "12", "answered 500"))
    shown = chatctl("dead-letters", "show", "conv_a").out
    assert all(part in shown for part in ("First", "Hey", "answered 500: no reason given"))
    assert "not the user's" not in shown
    assert chatctl("dead-letters", "show", "other") == (1, "", "chatctl: no dead letter of other\n")


def test_a_replay_of_nothing_has_failed(chatctl: Run, rest: RestServer) -> None:
    rest.answers["POST /api/dead-letters/replay"] = (202, {"replayed": 0})
    assert chatctl("dead-letters", "replay") == (1, "", "chatctl: there is no dead letter to replay\n")
