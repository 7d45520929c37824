"""Who is there and with whom: names in every script, ways out of dead ends, a long list."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.server.web.page.acting import message, send, with_status, write
from tests.server.web.page.conftest import OpenChat, OpenContext
from tests.server.web.page.scripted_server import ScriptedServer
from tests.support.server import RunningServer, running_server

OPEN = "[data-testid=connection][data-state=open]"


def start(page: Page, server: RunningServer, name: str, companion: str) -> str:
    """Answers the first dialog; the user's id."""
    page.goto(f"{server.url}/app")
    page.get_by_label("Your name").fill(name)
    page.get_by_test_id("companion").fill(companion)
    page.get_by_test_id("start").click()
    expect(page.locator(OPEN)).to_be_attached()
    found = re.search("user=([^&]+)", page.url)
    assert found
    return found[1]


def test_a_name_in_any_script_is_the_same_person_on_every_device(
    real_server: RunningServer, open_context: OpenContext
) -> None:
    phone, laptop = open_context().new_page(), open_context().new_page()
    user = start(phone, real_server, "さくら", "Наташа")
    expect(phone.locator("[data-part=me-name]")).to_have_text("さくら")
    expect(phone.get_by_role("heading", name="Наташа")).to_be_visible()
    send(phone, "こんにちは")
    expect(with_status(phone, "こんにちは", "delivered")).to_be_visible()
    assert start(laptop, real_server, " さくら", "Наташа") == user
    expect(message(laptop, "こんにちは")).to_be_visible()
    start(laptop, real_server, "さくら", "Мария")
    expect(laptop.get_by_role("heading", name="Мария")).to_be_visible()
    expect(message(laptop, "こんにちは")).to_have_count(0)
    found = real_server.get(f"/api/conversations?user_id={user}").json()["items"]
    assert {one["ai"]["name"] for one in found} == {"Наташа", "Мария"}


def test_an_address_may_name_somebody_in_any_script(
    real_server: RunningServer, open_context: OpenContext
) -> None:
    page = open_context().new_page()
    user = start(page, real_server, "Юля", "Alex")
    page.goto(f"{real_server.url}/app?user=Юля")
    expect(page.locator(OPEN)).to_be_attached()
    assert f"user={user}&" in page.url
    expect(page.locator("[data-part=me-name]")).to_have_text("Юля")


def test_the_first_dialog_wants_a_name_and_only_the_later_one_can_be_left(
    real_server: RunningServer, open_context: OpenContext
) -> None:
    page = open_context().new_page()
    page.goto(f"{real_server.url}/app")
    name, dialog = page.get_by_label("Your name"), page.get_by_role("dialog")
    page.keyboard.press("Escape")
    name.fill("   ")
    page.get_by_test_id("start").click()
    expect(dialog).to_be_visible()
    name.fill("Gil")
    page.get_by_test_id("start").click()
    expect(page.locator(OPEN)).to_be_attached()
    page.get_by_role("button", name="New chat").click()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile("conversation=conv_gil_ai_alex"))


def test_after_the_first_dialog_one_writes(real_server: RunningServer, open_context: OpenContext) -> None:
    page = open_context().new_page()
    start(page, real_server, "Flo", "Alex")
    expect(page.get_by_test_id("composer")).to_be_focused()
    page.get_by_role("link", name="Be somebody else").click()
    expect(page.get_by_label("Your name")).to_be_focused()


def test_from_somebody_elses_conversation_there_is_a_way_to_ones_own(
    real_server: RunningServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    open_chat(real_server, user="eve", conversation="conv_eve_ai_alex")
    page = open_chat(real_server, user="fay", conversation="conv_fay_ai_alex", context=open_context())
    page.goto(f"{real_server.url}/app?user=fay&conversation=conv_eve_ai_alex")
    banner = page.get_by_test_id("connection")
    expect(banner).to_contain_text("belongs to somebody else")
    expect(banner.get_by_role("button", name="Connect")).to_have_count(0)
    banner.get_by_role("button", name="My chats").click()
    expect(page.locator(OPEN)).to_be_attached()
    expect(page).to_have_url(re.compile("conversation=conv_fay_ai_alex"))


@pytest.mark.parametrize(
    ("reason", "words", "offer"),
    [
        ("pages of this origin may not connect (server.allowed_origins)", "takes no connections", None),
        ("too many connections of this user (20)", "close one", "Connect"),
        ("user_id must be 1 to 128 letters", "Nobody can have this name", "Choose a name"),
        ("unknown conversation", "no such conversation", "My chats"),
    ],
)
def test_a_refusal_is_told_in_words_for_people_with_what_they_can_do(
    scripted: ScriptedServer, open_context: OpenContext, reason: str, words: str, offer: str | None
) -> None:
    scripted.refusal = (1008, reason)
    page = open_context().new_page()
    page.goto(f"{scripted.url}/app?user=kai&conversation=c")
    banner = page.locator("[data-testid=connection][data-state=closed]")
    expect(banner).to_contain_text(words)
    expect(banner).not_to_contain_text(re.compile("allowed_origins|user_id"))
    expect(banner.get_by_role("button")).to_have_text([offer] if offer else [])


def test_whoever_has_a_token_is_not_asked_to_be_somebody_else(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    somebody = "[data-part=somebody-else]"
    expect(open_chat(scripted).locator(somebody)).to_be_visible()
    expect(open_chat(scripted, fragment="#token=a.b.c").locator(somebody)).to_be_hidden()


def test_where_the_history_is_not_for_visitors_it_says_so_and_one_can_talk(
    tmp_path: Path, open_chat: OpenChat
) -> None:
    with running_server(tmp_path, auth__api_keys="a key of more than sixteen characters") as server:
        page = open_chat(server)
        send(page, "hello")
        expect(with_status(page, "hello", "delivered")).to_be_visible()
        page.reload()
        expect(page.get_by_text("Earlier messages cannot be shown here.")).to_be_visible()
        expect(page.get_by_role("button", name="Try again")).to_have_count(0)
        send(page, "still here")
        expect(with_status(page, "still here", "delivered")).to_be_visible()


def test_where_the_list_is_not_for_visitors_it_is_asked_for_once(
    scripted: ScriptedServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    scripted.may_list = False
    context = open_context()
    context.clock.install()
    page = open_chat(scripted, context=context)
    send(page, "hello")
    expect(with_status(page, "hello", "delivered")).to_be_visible()
    page.clock.run_for(60_000)
    send(page, "still here")
    expect(with_status(page, "still here", "delivered")).to_be_visible()
    assert scripted.lists_asked_for == 1


def test_where_visitors_make_no_chats_the_name_they_gave_is_known_to_them(
    tmp_path: Path, open_context: OpenContext
) -> None:
    with running_server(tmp_path, auth__api_keys="a key of more than sixteen characters") as server:
        page = open_context().new_page()
        start(page, server, "さくら", "Наташа")
        expect(page.get_by_role("heading", name="Наташа")).to_be_visible()
        page.reload()
        expect(page.locator(OPEN)).to_be_attached()
        expect(page.get_by_role("heading", name="Наташа")).to_be_visible()


def matches(scripted: ScriptedServer, count: int) -> None:
    """So many chats that nobody has touched, and below them an unread one."""
    chats: list[dict[str, Any]] = [
        {"conversation_id": f"c{number}", "ai": {"id": f"ai_m{number}", "name": f"Match {number}"}}
        for number in range(count)
    ]
    last = {"type": "AI_RESPONSE", "data": "Are you there?", "timestamp": "2026-11-22T10:00:00Z"}
    chats.append({"conversation_id": "unread", "ai": {"id": "ai_sam", "name": "Sam"}, "last_message": last})
    known = {"user_id": "kai", "last_seq": 1, "last_read_seq": 0, "last_message": None}
    scripted.conversations = [known | {"unread": 3 if "last_message" in chat else 0} | chat for chat in chats]


def test_unread_chats_stand_above_untouched_ones_and_the_open_one_is_in_view(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    matches(scripted, 40)
    page = open_chat(scripted, conversation="c37")
    entries = page.get_by_test_id("conversations").locator("[data-conversation-id]")
    expect(entries).to_have_count(41)
    expect(entries.first).to_have_attribute("data-conversation-id", "unread")
    expect(page.locator("[data-conversation-id=c37]")).to_be_in_viewport()


def test_the_list_is_one_tab_stop_with_arrow_keys_and_the_composer_one_key_away(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    def focused() -> str | None:
        name: str | None = page.evaluate("document.activeElement.dataset.conversationId")
        return name

    matches(scripted, 40)
    page = open_chat(scripted, conversation="c5")
    expect(page.get_by_test_id("conversations").locator("[data-conversation-id]")).to_have_count(41)
    page.get_by_test_id("search").focus()
    page.keyboard.press("Tab")
    assert focused() == "c5"
    page.keyboard.press("ArrowDown")
    assert focused() == "c6"
    for key, where in [("ArrowUp", "c5"), ("Home", "unread"), ("ArrowUp", "unread"), ("End", "c39")]:
        page.keyboard.press(key)
        assert focused() == where
    scripted.say(**scripted.keep(data="Now the list is drawn anew"))
    expect(page.locator("[data-conversation-id=c5]")).to_contain_text("drawn anew")
    assert focused() == "c39"
    page.keyboard.press("Tab")
    assert focused() is None
    page.evaluate("document.activeElement.blur()")
    page.locator("[data-part=skip]").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("composer")).to_be_focused()


def test_chats_are_found_by_name_and_by_their_last_words(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    matches(scripted, 5)
    page = open_chat(scripted)
    entries = page.get_by_test_id("conversations").locator("[data-conversation-id]")
    expect(entries).to_have_count(7)
    for words in ("SAM", "you there"):
        page.get_by_test_id("search").fill(words)
        expect(entries).to_have_count(1)
        expect(entries).to_contain_text("Sam")
    page.get_by_test_id("search").fill("nobody at all")
    expect(page.get_by_text("No chat has these words.")).to_be_visible()
    page.get_by_test_id("search").fill("")
    expect(entries).to_have_count(7)


def test_a_long_announcement_leaves_the_composer_free_and_can_be_closed(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted, viewport={"width": 360, "height": 640})
    for _ in range(3):
        scripted.say(type="SYSTEM", data={"event": "announcement", "text": "We will be away. " * 111})
    expect(page.get_by_test_id("announcement")).to_have_count(3)
    page.get_by_test_id("composer").click(trial=True)
    write(page, "in spite of it")
    page.get_by_test_id("send").click()
    expect(with_status(page, "in spite of it", "delivered")).to_be_visible()
    for left in (2, 1, 0):
        page.get_by_role("button", name="Dismiss").first.click()
        expect(page.get_by_test_id("announcement")).to_have_count(left)
