"""For everybody: keyboard, screen reader, small screens, both themes."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.server.web.page.acting import message, send, with_status
from tests.server.web.page.conftest import OpenChat
from tests.server.web.page.scripted_server import ScriptedServer

AXE = Path(__file__).parents[4] / "node_modules/axe-core/axe.min.js"
PHONE = {"width": 360, "height": 640}
DESK = {"width": 1280, "height": 800}

needs_axe = pytest.mark.skipif(not AXE.exists(), reason="no axe-core: install Node, then `npm ci`")


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [f"{rule['id']}: {node['html'][:160]}" for rule in found for node in rule["nodes"]]


def fill(scripted: ScriptedServer, page: Page) -> None:
    """Everything at once that the page can show."""
    sam = {"id": "ai_sam", "name": "Sam", "status": "away"}
    last = {"type": "AI_RESPONSE", "data": "Are you there?", "timestamp": "2026-11-22T10:00:00Z"}
    scripted.conversations = [
        {"conversation_id": "conv_kai_ai_sam", "ai": sam, "last_message": last, "unread": 3}
    ]
    send(page, "Hello Alex, how was your day?")
    expect(with_status(page, "Hello Alex, how was your day?", "delivered")).to_be_visible()
    scripted.say(type="READ_RECEIPT", sender="ai_alex", data={"message_id": "m1", "seq": 1})
    scripted.say(**scripted.keep(data="Quite long, and full of " + "w" * 80))
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    send(page, "This one fails")
    expect(with_status(page, "This one fails", "failed")).to_be_visible()
    scripted.say(type="AI_RESPONSE_CHUNK", message_id="s1", data={"text": "Once upon", "index": 0})
    scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True})
    scripted.say(type="NEW_MATCH", data={"ai": sam, "conversation_id": "conv_kai_ai_sam"})
    expect(page.get_by_test_id("match")).to_be_visible()
    expect(page.get_by_test_id("conversations").locator("[data-unread='0']")).to_have_count(1)


@needs_axe
@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "dark"), (DESK, "light")])
def test_axe_finds_nothing(
    scripted: ScriptedServer, open_chat: OpenChat, viewport: dict[str, int], scheme: str
) -> None:
    page = open_chat(scripted, viewport=viewport, color_scheme=scheme, bypass_csp=True)
    assert violations(page) == []
    fill(scripted, page)
    assert violations(page) == []
    scripted.close(4500, "replaced")
    expect(page.get_by_role("button", name="Use here")).to_be_visible()
    assert violations(page) == []
    if viewport is PHONE:
        page.get_by_role("button", name="All chats").click()
    page.get_by_role("button", name="New chat").click()
    assert violations(page) == []


@pytest.mark.parametrize("view", ["chat", "list", "start"])
def test_nothing_is_cut_off_at_360_pixels(scripted: ScriptedServer, open_chat: OpenChat, view: str) -> None:
    page = open_chat(scripted, viewport=PHONE)
    fill(scripted, page)
    if view == "list":
        page.get_by_role("button", name="All chats").click()
        expect(page.get_by_test_id("conversations")).to_be_visible()
    if view == "start":
        page.goto(f"{scripted.url}/app")
        expect(page.get_by_label("Your name")).to_be_visible()
    outside = page.evaluate(
        """[...document.querySelectorAll('body *:not(.sr-only, .sr-only *, .sprite, .sprite *, svg *)')]
            .map(element => [element.className, element.getBoundingClientRect()])
            .filter(([, box]) => box.width && (box.left < -0.5 || box.right > innerWidth + 0.5))
            .map(([name]) => String(name))"""
    )
    assert outside == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_what_is_pressed_on_a_phone_is_big_enough(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted, viewport=PHONE)
    fill(scripted, page)
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24, button.inner_text()
    for testid in ("send", "composer"):
        box = page.get_by_test_id(testid).bounding_box()
        assert box is not None and box["height"] >= 44


def test_the_theme_follows_the_system_until_one_chooses(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    def expect_background(colour: str) -> None:
        expect(page.locator("body")).to_have_css("background-color", colour)

    page = open_chat(scripted, color_scheme="dark", viewport=DESK)
    dark, light = "rgb(18, 16, 23)", "rgb(244, 242, 247)"
    expect_background(dark)
    page.emulate_media(color_scheme="light")
    expect_background(light)
    page.get_by_role("button", name="System theme").click()
    page.get_by_role("button", name="Light theme").click()
    expect_background(dark)
    page.reload()
    expect(page.get_by_role("button", name="Dark theme")).to_be_visible()
    expect_background(dark)


def test_everything_can_be_done_with_the_keyboard(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    page = open_chat(scripted, viewport=DESK)
    expect(page.get_by_test_id("composer")).to_be_focused()
    page.keyboard.type("two")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("lines")
    page.keyboard.press("Enter")
    retry = page.get_by_test_id("retry")
    expect(retry).to_be_visible()
    assert scripted.frames("CHAT_MESSAGE")[0]["data"] == "two\nlines"
    scripted.answer = scripted.save
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if retry.evaluate("element => element === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator("[data-status=delivered]")).to_be_visible()
    expect(page.get_by_test_id("composer")).to_be_focused()
    page.keyboard.type("by the button")
    page.keyboard.press("Tab")
    expect(page.get_by_test_id("send")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator("[data-status=delivered]")).to_have_count(2)
    expect(page.get_by_test_id("composer")).to_be_focused()


def test_a_screen_reader_is_told_of_messages_and_of_the_state_of_own_ones(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.keep(data="from before")
    page = open_chat(scripted)
    expect(message(page, "from before")).not_to_have_class(re.compile("new"))  # nor is it read out
    messages = page.get_by_test_id("messages")
    expect(messages).to_have_role("log")
    expect(messages).to_have_attribute("aria-live", "polite")
    send(page, "hello")
    expect(message(page, "hello")).to_have_class(re.compile("new"))
    expect(message(page, "hello")).to_have_text("You: hello10:00ReadDelivered")
    scripted.say(type="AI_RESPONSE_CHUNK", message_id="s1", data={"text": "Once", "index": 0})
    expect(page.locator("[data-message-id=s1]")).to_have_attribute("aria-busy", "true")
    scripted.say(**scripted.keep(message_id="s1", data="Once."))
    expect(page.locator("[data-message-id=s1]")).not_to_have_attribute("aria-busy", "true")


def test_motion_stops_for_those_who_want_none(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    def longest(reduced: str) -> float:
        page = open_chat(scripted, reduced_motion=reduced)
        scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True})
        expect(page.get_by_test_id("typing")).to_be_visible()
        seconds: float = page.evaluate(
            "parseFloat(getComputedStyle(document.querySelector('.dots i')).animationDuration)"
        )
        return seconds

    assert longest("reduce") < 0.001 < longest("no-preference")
