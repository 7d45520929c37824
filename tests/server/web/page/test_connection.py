"""Connections that break, are refused or replaced, and what the page says and does about it."""

import json
import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Page, TimeoutError, WebSocketRoute, expect

from tests.server.web.page.acting import message, send, texts, with_status
from tests.server.web.page.conftest import OpenChat, OpenContext
from tests.server.web.page.scripted_server import ScriptedServer
from tests.support.server import RunningServer, running_server

BY_STATE = "[data-testid=connection][data-state={}]"


def test_a_server_that_is_killed_in_the_middle_of_a_message_has_it_once_after_the_restart(
    tmp_path: Path, open_chat: OpenChat
) -> None:
    with running_server(tmp_path) as server:
        page = open_chat(server)
        send(page, "before")
        expect(with_status(page, "before", "delivered")).to_be_visible()
        os.kill(server.process.pid, signal.SIGSTOP)
        send(page, "in the middle")
        expect(with_status(page, "in the middle", "sending")).to_be_visible()
        server.kill()
        expect(page.locator(BY_STATE.format("reconnecting"))).to_be_visible()
    with running_server(tmp_path, server__port=server.port):
        with suppress(TimeoutError):  # unless it was quicker by itself
            page.get_by_test_id("connection").get_by_role("button", name="now").click(timeout=1_000)
        expect(with_status(page, "in the middle", "delivered")).to_be_visible(timeout=10_000)
        send(page, "after")
        expect(with_status(page, "after", "delivered")).to_be_visible()
        page.reload()
        expect(message(page, "after")).to_be_visible()
        assert texts(page) == ["before", "in the middle", "after"]


def test_while_there_is_no_connection_the_banner_counts_down_to_the_next_attempt(
    tmp_path: Path, open_chat: OpenChat
) -> None:
    with running_server(tmp_path) as server:
        page = open_chat(server)
        expect(page.get_by_test_id("connection")).to_be_hidden()
    banner = page.locator(BY_STATE.format("reconnecting"))
    expect(banner).to_contain_text("Connection lost")
    expect(banner).to_contain_text(re.compile(r"Next attempt in \d+\ss"))
    expect(banner.get_by_role("button", name="Try now")).to_be_visible()
    expect(page.get_by_role("status").filter(has_text="Connection lost.")).to_be_attached()


def test_frames_that_are_lost_on_the_way_are_fetched(
    real_server: RunningServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    lost = ["lost from Alex", "lost of my own"]

    def lossy(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def pass_on(text: str | bytes) -> None:
            if json.loads(text)["data"] in lost:
                lost.remove(json.loads(text)["data"])
            else:
                route.send(text)

        server.on_message(pass_on)

    context = open_context()
    context.route_web_socket(re.compile("/ws/"), lossy)
    page = open_chat(real_server, user="lou", conversation="conv_lou_ai_alex", context=context)
    for text in ("lost from Alex", "from Alex"):
        real_server.post("/api/send-ai-message", {"conversation_id": "conv_lou_ai_alex", "message": text})
    expect(message(page, "from Alex")).to_be_visible()
    send(page, "lost of my own")
    expect(with_status(page, "lost of my own", "delivered")).to_be_visible()
    page.wait_for_function("document.querySelectorAll('[data-message-id]').length === 3")
    assert texts(page) == ["lost from Alex", "from Alex", "lost of my own"]
    assert lost == []


def fresh(page: Page) -> None:
    pass


def reloaded(page: Page) -> None:
    page.reload()
    expect(page.locator(BY_STATE.format("open"))).to_be_attached()


def back_from_the_cache(page: Page) -> None:
    page.evaluate("dispatchEvent(new Event('pagehide')); dispatchEvent(new Event('pageshow'))")


@pytest.mark.parametrize("state", [fresh, reloaded, back_from_the_cache])
def test_a_tab_that_is_duplicated_is_a_device_of_its_own(
    real_server: RunningServer, open_context: OpenContext, open_chat: OpenChat, state: Callable[[Page], None]
) -> None:
    user = f"una-{state.__name__}"
    context = open_context()
    first = open_chat(real_server, user=user, conversation=f"conv_{user}_ai_alex", context=context)
    state(first)
    with context.expect_page() as opened:
        first.evaluate("open(location.href)")  # a tab that is opened so has the session storage of the first
    second = opened.value
    for page in (first, second):
        expect(page.get_by_test_id("devices")).to_have_text("2 devices")
    second.reload()
    expect(second.get_by_test_id("devices")).to_have_text("2 devices")
    expect(first.locator(BY_STATE.format("open"))).to_be_attached()


def test_a_tab_is_the_same_device_after_a_reload(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    for _ in range(2):
        reloaded(page)
    assert len(scripted.queries) == 3
    assert len({query["client_id"] for query in scripted.queries}) == 1


def test_where_the_browser_keeps_nothing_one_talks_all_the_same(
    scripted: ScriptedServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    context = open_context()
    context.add_init_script("""for (const name of ['localStorage', 'sessionStorage'])
        Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError'); } });""")
    page = open_chat(scripted, context=context)
    page.get_by_role("button", name="System theme").click()
    send(page, "hello")
    expect(with_status(page, "hello", "delivered")).to_be_visible()


def test_where_the_chat_was_taken_over_it_can_be_taken_back(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    scripted.close(4500, "replaced")
    expect(page.locator(BY_STATE.format("closed"))).to_contain_text("another tab")
    page.get_by_role("button", name="Use here").click()
    expect(page.locator(BY_STATE.format("open"))).to_be_attached()
    expect(page.locator("[data-part=connection-said]")).to_have_text("Connected")
    assert scripted.queries[0]["client_id"] == scripted.queries[1]["client_id"]


def test_a_message_under_way_in_one_tab_is_no_failure_in_another(
    scripted: ScriptedServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    context = open_context()
    scripted.answer = lambda frame: []
    first = open_chat(scripted, context=context)
    send(first, "under way")
    expect(with_status(first, "under way", "sending")).to_be_visible()
    second = open_chat(scripted, context=context)
    send(second, "another")
    expect(with_status(second, "another", "sending")).to_be_visible()
    expect(message(second, "under way")).to_have_count(0)
    for frame in scripted.save(scripted.wait_for("CHAT_MESSAGE")[0]):
        scripted.say(**frame)
    for page in (first, second):
        expect(with_status(page, "under way", "delivered")).to_be_visible()


def test_another_users_conversation_is_refused_with_the_reason(
    real_server: RunningServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    open_chat(real_server, user="vic", conversation="conv_vic_ai_alex")
    page = open_context().new_page()
    page.goto(f"{real_server.url}/app?user=wim&conversation=conv_vic_ai_alex")
    expect(page.locator(BY_STATE.format("closed"))).to_contain_text("conversation")
    send(page, "hello?")
    expect(with_status(page, "hello?", "failed")).to_be_visible()


def test_where_a_token_is_needed_the_page_says_what_is_missing_and_takes_it(
    scripted: ScriptedServer, open_context: OpenContext
) -> None:
    scripted.refusal = (1008, "a token is required")
    page = open_context().new_page()
    page.goto(f"{scripted.url}/app?user=kai&conversation=c")
    expect(page.locator(BY_STATE.format("closed"))).to_contain_text("#token=")
    scripted.refusal = None
    page.goto(f"{scripted.url}/app?user=kai&conversation=c#token=a.b.c")
    expect(page.locator(BY_STATE.format("open"))).to_be_attached()
    assert scripted.offered_protocols == [[], ["chat.v1", "bearer.a.b.c"]]


def test_a_token_that_ran_out_is_asked_for_and_the_new_one_is_used(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted, fragment="#token=old")
    scripted.close(4003, "the token has expired")
    expect(page.locator(BY_STATE.format("closed"))).to_contain_text("#token=")
    page.evaluate("location.hash = 'token=new'")
    expect(page.locator(BY_STATE.format("open"))).to_be_attached()
    assert scripted.offered_protocols[-1] == ["chat.v1", "bearer.new"]


def test_a_new_token_reaches_an_open_connection_without_a_new_one(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted, fragment="#token=old")
    page.evaluate("location.hash = 'token=new'")
    assert scripted.wait_for("AUTH_REFRESH")[0]["data"] == {"token": "new"}
    assert len(scripted.queries) == 1


def test_another_log_is_shown_from_its_start(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.keep(data="of the old log")
    page = open_chat(scripted)
    expect(message(page, "of the old log")).to_be_visible()
    scripted.log.clear()
    scripted.keep(message_id="n1", data="of the new log")
    scripted.welcome = {"epoch": "e2", "gap": {"from": 1, "to": 1}}
    scripted.close(1001, "restored")
    expect(message(page, "of the new log")).to_be_visible()
    assert texts(page) == ["of the new log"]


def test_a_message_without_an_answer_fails_in_the_end_and_keeps_its_id(
    scripted: ScriptedServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    context = open_context()
    context.clock.install()
    page = open_chat(scripted, context=context)
    scripted.answer = lambda frame: []
    send(page, "anybody?")
    expect(with_status(page, "anybody?", "sending")).to_be_visible()
    for _ in range(2):
        page.clock.run_for(10_000)
    expect(with_status(page, "anybody?", "failed")).to_be_visible()
    scripted.answer = scripted.save
    page.get_by_test_id("retry").click()
    expect(with_status(page, "anybody?", "delivered")).to_be_visible()
    assert len({frame["message_id"] for frame in scripted.frames("CHAT_MESSAGE")}) == 1
    assert len(scripted.frames("CHAT_MESSAGE")) == 3


@pytest.mark.parametrize("event", ["online", "pageshow"])
def test_a_page_that_comes_back_makes_sure_of_its_connection_at_once(
    scripted: ScriptedServer, open_chat: OpenChat, event: str
) -> None:
    page = open_chat(scripted)
    page.evaluate(f"dispatchEvent(new Event('{event}'))")
    send(page, "x")
    expect(with_status(page, "x", "delivered")).to_be_visible()
    assert len(scripted.frames("PING")) == 1
