"""Several conversations, the other side's state, and news from the server."""

import re
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.server.web.page.acting import message, send, texts, with_status, write
from tests.server.web.page.conftest import OpenChat, OpenContext
from tests.server.web.page.scripted_server import ScriptedServer
from tests.support.server import RunningServer

ALEX = {"id": "ai_alex", "name": "Alex", "status": "online"}
SAM = {"id": "ai_sam", "name": "Sam", "status": "away"}


def conversation(id: str, ai: dict[str, str], text: str, unread: int) -> dict[str, Any]:
    last = {"type": "AI_RESPONSE", "data": text, "timestamp": "2026-11-23T10:00:00Z"}
    return {"conversation_id": id, "user_id": "kai", "ai": ai, "last_message": last, "unread": unread}


def entry(page: Page, id: str) -> Any:
    return page.get_by_test_id("conversations").locator(f"[data-conversation-id={id}]")


def test_the_conversations_are_listed_with_their_unread_counts(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.conversations = [
        conversation("conv_kai_ai_alex", ALEX, "Hi!", 0),
        conversation("conv_kai_ai_sam", SAM, "Are you there?", 3),
    ]
    page = open_chat(scripted)
    expect(entry(page, "conv_kai_ai_sam")).to_contain_text("Are you there?")
    expect(entry(page, "conv_kai_ai_sam")).to_contain_text("3 unread messages")
    expect(entry(page, "conv_kai_ai_sam").locator(".avatar")).to_have_attribute("data-status", "away")
    expect(entry(page, "conv_kai_ai_alex")).to_have_attribute("aria-current", "true")
    expect(entry(page, "conv_kai_ai_alex")).not_to_contain_text("unread")
    expect(page).to_have_title("(3) Alex")


def test_what_happens_in_other_conversations_shows_in_the_list(
    real_server: RunningServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    context = open_context()
    context.clock.install()
    page = open_chat(real_server, user="jan", conversation="conv_jan_ai_alex", context=context)
    real_server.post("/api/conversations", {"user_id": "jan", "ai": SAM, "conversation_id": "jan_and_sam"})
    expect(entry(page, "jan_and_sam")).to_contain_text("Sam")
    real_server.post("/api/send-ai-message", {"conversation_id": "jan_and_sam", "message": "Just now"})
    page.clock.run_for(5_000)
    expect(entry(page, "jan_and_sam")).to_contain_text("Just now")
    expect(entry(page, "jan_and_sam")).to_contain_text("1 unread message")
    expect(entry(page, "conv_jan_ai_alex").locator(".avatar")).to_have_attribute("data-status", "online")
    httpx2.delete(real_server.url + "/api/conversations/jan_and_sam")
    page.clock.run_for(5_000)
    expect(entry(page, "jan_and_sam")).to_have_count(0)


def test_each_conversation_has_its_messages_and_its_draft(
    real_server: RunningServer, open_chat: OpenChat
) -> None:
    page = open_chat(real_server, user="ida", conversation="conv_ida_ai_alex")
    send(page, "for Alex")
    expect(with_status(page, "for Alex", "delivered")).to_be_visible()
    write(page, "half a thought")
    page.get_by_role("button", name="New chat").click()
    page.get_by_test_id("companion").fill("Sam")
    page.get_by_test_id("start").click()
    expect(page.get_by_role("heading", name="Sam")).to_be_visible()
    expect(page.get_by_test_id("composer")).to_have_value("")
    expect(message(page, "for Alex")).to_have_count(0)
    expect(page.locator("[data-testid=connection][data-state=open]")).to_be_attached()
    send(page, "for Sam")
    expect(with_status(page, "for Sam", "delivered")).to_be_visible()

    entry(page, "conv_ida_ai_alex").click()
    expect(with_status(page, "for Alex", "delivered")).to_be_visible()
    assert texts(page) == ["for Alex"]
    expect(page.get_by_test_id("composer")).to_have_value("half a thought")
    expect(page).to_have_url(re.compile("conversation=conv_ida_ai_alex$"))
    page.go_back()
    expect(with_status(page, "for Sam", "delivered")).to_be_visible()
    assert texts(page) == ["for Sam"]


def test_a_chat_can_be_opened_in_another_tab(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.conversations = [conversation("conv_kai_ai_sam", SAM, "Hello", 0)]
    page = open_chat(scripted)
    with page.context.expect_page() as opened:
        entry(page, "conv_kai_ai_sam").click(modifiers=["ControlOrMeta"])
    expect(opened.value.get_by_role("heading", name="Sam")).to_be_visible()
    expect(page.get_by_role("heading", name="Alex")).to_be_visible()
    opened.value.close()


def test_a_message_that_was_on_its_way_when_one_left_is_there_when_one_returns(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.conversations = [
        conversation("conv_kai_ai_alex", ALEX, "Hi!", 0),
        conversation("conv_kai_ai_sam", SAM, "Hello", 0),
    ]
    page = open_chat(scripted)
    scripted.answer = lambda frame: []
    send(page, "on its way")
    expect(with_status(page, "on its way", "sending")).to_be_visible()
    entry(page, "conv_kai_ai_sam").click()
    expect(page.get_by_role("heading", name="Sam")).to_be_visible()
    expect(page.get_by_test_id("toast")).to_have_count(0)
    scripted.save(scripted.wait_for("CHAT_MESSAGE")[0])
    entry(page, "conv_kai_ai_alex").click()
    expect(with_status(page, "on its way", "delivered")).to_be_visible()
    expect(page.get_by_test_id("composer")).to_have_value("")


@pytest.mark.parametrize("status", ["online", "away", "offline"])
def test_the_other_sides_state_is_shown(scripted: ScriptedServer, open_chat: OpenChat, status: str) -> None:
    scripted.welcome = {"ai": ALEX | {"status": "online" if status != "online" else "offline"}}
    page = open_chat(scripted)
    scripted.say(type="AI_STATUS", data={"ai_id": "ai_alex", "status": status})
    expect(page.get_by_test_id("ai-status")).to_have_text(status.capitalize())
    expect(entry(page, "conv_kai_ai_alex").locator(".avatar")).to_have_attribute("data-status", status)


def test_a_new_match_can_be_greeted(real_server: RunningServer, open_chat: OpenChat) -> None:
    page = open_chat(real_server, user="max", conversation="conv_max_ai_alex")
    real_server.post("/api/matches", {"user_id": "max", "ai": SAM, "conversation_id": "max_and_sam"})
    expect(page.get_by_test_id("match")).to_contain_text("Sam")
    expect(entry(page, "max_and_sam")).to_be_visible()
    page.get_by_role("button", name="Say hello").click()
    expect(page.get_by_test_id("match")).to_have_count(0)
    expect(page.get_by_role("heading", name="Sam")).to_be_visible()
    send(page, "Hello Sam")
    expect(with_status(page, "Hello Sam", "delivered")).to_be_visible()
    expect(entry(page, "max_and_sam")).to_contain_text("You: Hello Sam")


def test_an_announcement_is_shown_until_it_is_dismissed(
    real_server: RunningServer, open_chat: OpenChat
) -> None:
    page = open_chat(real_server, user="ned", conversation="conv_ned_ai_alex")
    real_server.post("/api/system-messages", {"data": "Back in five minutes.", "user_id": "ned"})
    expect(page.get_by_test_id("announcement")).to_contain_text("Back in five minutes.")
    page.get_by_role("button", name="Dismiss").click()
    expect(page.get_by_test_id("announcement")).to_have_count(0)


def test_of_many_news_the_newest_three_stay(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    for number in range(5):
        scripted.say(type="SYSTEM", data={"event": "announcement", "text": f"news {number}"})
    expect(page.get_by_test_id("announcement")).to_have_text(["news 2", "news 3", "news 4"])


def test_without_parameters_it_asks_for_a_name_and_opens_a_conversation(
    real_server: RunningServer, open_context: OpenContext
) -> None:
    page = open_context().new_page()
    page.goto(f"{real_server.url}/app")
    page.get_by_label("Your name").fill("Zoë Köhler")
    page.get_by_test_id("start").click()
    expect(page.locator("[data-testid=connection][data-state=open]")).to_be_attached()
    expect(page).to_have_url(re.compile(r"/app\?user=zoe-kohler&conversation=conv_zoe-kohler_ai_alex$"))
    send(page, "hello")
    expect(with_status(page, "hello", "delivered")).to_be_visible()


def test_a_user_without_a_conversation_gets_the_newest(
    scripted: ScriptedServer, open_context: OpenContext
) -> None:
    scripted.conversations = [conversation("conv_kai_ai_sam", SAM, "Hello", 0)]
    page = open_context().new_page()
    page.goto(f"{scripted.url}/app?user=kai")
    expect(page.locator("[data-testid=connection][data-state=open]")).to_be_attached()
    assert scripted.queries[-1]["conversation_id"] == "conv_kai_ai_sam"
