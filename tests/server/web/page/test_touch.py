"""On a touch screen, where the keyboard is on the screen and Enter makes a new line."""

import pytest
from playwright.sync_api import Page, expect

from tests.server.web.page.acting import with_status
from tests.server.web.page.conftest import OpenChat
from tests.server.web.page.scripted_server import ScriptedServer


@pytest.fixture
def phone(scripted: ScriptedServer, open_chat: OpenChat) -> Page:
    return open_chat(scripted, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)


def test_enter_makes_a_new_line_and_the_button_sends_and_leaves_the_keyboard_open(
    scripted: ScriptedServer, phone: Page
) -> None:
    composer = phone.get_by_test_id("composer")
    expect(composer).not_to_be_focused()  # that would open the keyboard
    composer.tap()
    phone.keyboard.type("two")
    phone.keyboard.press("Enter")
    phone.keyboard.type("lines")
    assert scripted.frames("CHAT_MESSAGE") == []
    phone.get_by_test_id("send").tap()
    expect(phone.locator("[data-status=delivered]")).to_be_visible()
    expect(composer).to_be_focused()
    assert [frame["data"] for frame in scripted.frames("CHAT_MESSAGE")] == ["two\nlines"]


def test_what_is_done_about_a_failure_opens_no_keyboard(scripted: ScriptedServer, phone: Page) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    phone.get_by_test_id("composer").fill("again")
    phone.get_by_test_id("send").tap()
    expect(with_status(phone, "again", "failed")).to_be_visible()
    phone.get_by_test_id("composer").blur()
    scripted.answer = scripted.save
    phone.get_by_test_id("retry").tap()
    expect(with_status(phone, "again", "delivered")).to_be_visible()
    expect(phone.get_by_test_id("composer")).not_to_be_focused()


def test_beside_the_chat_stands_how_much_is_unread_in_others(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    last = {"type": "AI_RESPONSE", "data": "Are you there?", "timestamp": "2026-11-22T10:00:00Z"}
    sam = {"conversation_id": "conv_kai_ai_sam", "ai": {"id": "ai_sam", "name": "Sam"}, "last_message": last}
    scripted.conversations = [sam | {"unread": 3}]
    page = open_chat(scripted, viewport={"width": 360, "height": 640}, has_touch=True, is_mobile=True)
    back = page.get_by_role("button", name="All chats")
    expect(back.locator(".badge")).to_be_visible()
    expect(back).to_have_text("All chats3 unread")
    scripted.conversations = [sam | {"unread": 0}]
    page.reload()
    expect(page.get_by_test_id("conversations").locator("[data-unread='0']")).to_have_count(2)
    expect(back.locator(".badge")).to_be_hidden()


def test_the_list_and_the_chat_take_turns_on_the_screen(scripted: ScriptedServer, phone: Page) -> None:
    conversations = phone.get_by_test_id("conversations")
    expect(conversations).to_be_hidden()
    phone.get_by_role("button", name="All chats").tap()
    expect(conversations).to_be_visible()
    expect(phone.get_by_test_id("composer")).to_be_hidden()
    conversations.locator("[data-conversation-id]").tap()
    expect(conversations).to_be_hidden()
    expect(phone.get_by_test_id("composer")).to_be_visible()
