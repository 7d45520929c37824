"""What counts as read and as new, here and on other devices, and what the day changes."""

from typing import Any

from playwright.sync_api import Page, expect

from tests.server.web.page.acting import message
from tests.server.web.page.conftest import OpenChat, OpenContext
from tests.server.web.page.scripted_server import ScriptedServer
from tests.support.server import RunningServer

AWAY = "document.hasFocus = () => false"
BACK = "document.hasFocus = () => true; dispatchEvent(new Event('focus'))"


def read(scripted: ScriptedServer) -> list[str]:
    return [frame["data"]["message_id"] for frame in scripted.frames("READ_RECEIPT")]


def entry(page: Page, id: str) -> Any:
    return page.get_by_test_id("conversations").locator(f"[data-conversation-id={id}]")


def test_a_window_without_the_focus_reads_nothing(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    page.evaluate(AWAY)
    for text in ("one", "two"):
        scripted.say(**scripted.keep(data=text))
        expect(message(page, text)).to_be_visible()
    expect(page).to_have_title("(2) Alex")
    expect(entry(page, "conv_kai_ai_alex")).to_contain_text("2 unread messages")
    assert read(scripted) == []
    page.evaluate(BACK)
    expect(page).to_have_title("Alex")
    expect(entry(page, "conv_kai_ai_alex")).to_have_attribute("data-unread", "0")
    assert read(scripted) == ["m2"]


def test_what_another_device_has_read_is_not_new_here(
    real_server: RunningServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    who = {"user": "quin", "conversation": "conv_quin_ai_alex"}
    here = open_chat(real_server, **who, context=open_context())
    here.evaluate(AWAY)
    real_server.post("/api/send-ai-message", {"conversation_id": who["conversation"], "message": "Hello"})
    expect(here).to_have_title("(1) Alex")
    there = open_chat(real_server, **who, context=open_context())
    expect(message(there, "Hello")).to_be_visible()
    expect(here).to_have_title("Alex")


def test_a_window_that_opens_behind_others_tells_what_is_unread(
    real_server: RunningServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    who = {"user": "rae", "conversation": "conv_rae_ai_alex"}
    open_chat(real_server, **who, context=open_context()).close()
    for text in ("one", "two"):
        real_server.post("/api/send-ai-message", {"conversation_id": who["conversation"], "message": text})
    context = open_context()
    context.add_init_script(AWAY)
    page = open_chat(real_server, **who, context=context)
    expect(page).to_have_title("(2) Alex")


def test_where_nobody_knows_what_was_read_only_what_comes_now_is_new(
    scripted: ScriptedServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    for text in ("one", "two"):
        scripted.keep(data=text)
    context = open_context()
    context.add_init_script(AWAY)
    page = open_chat(scripted, context=context)
    expect(message(page, "two")).to_be_visible()
    expect(page).to_have_title("Alex")
    scripted.say(**scripted.keep(data="three"))
    expect(page).to_have_title("(1) Alex")


def test_today_is_yesterday_after_midnight(
    scripted: ScriptedServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    context = open_context()
    context.clock.install(time="2026-11-23T23:59:50Z")
    scripted.keep(data="late", timestamp="2026-11-23T23:50:00Z")
    page = open_chat(scripted, context=context)
    expect(page.locator(".day")).to_have_text(["Today"])
    context.clock.run_for(20_000)
    expect(page.locator(".day")).to_have_text(["Yesterday"])
