"""Sending, receiving, failing and trying again, as a person sees it."""

import re
from pathlib import Path
from typing import Any

import httpx2
from playwright.sync_api import expect

from tests.server.web.page.acting import message, send, texts, with_status, write
from tests.server.web.page.conftest import OpenChat, OpenContext
from tests.server.web.page.scripted_server import ScriptedServer
from tests.support.server import RunningServer, running_server


def test_an_own_message_shows_at_once_as_sending_and_then_as_delivered(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = lambda frame: []
    page = open_chat(scripted)
    send(page, "Hello Alex")
    expect(with_status(page, "Hello Alex", "sending")).to_be_visible()
    expect(message(page, "Hello Alex")).to_contain_text("Sending")
    expect(page.get_by_test_id("composer")).to_have_value("Hello Alex")
    expect(page.get_by_test_id("send")).to_have_attribute("aria-busy", "true")
    expect(page.get_by_test_id("send")).to_be_disabled()

    for frame in scripted.save(scripted.wait_for("CHAT_MESSAGE")[0]):
        scripted.say(**frame)
    expect(with_status(page, "Hello Alex", "delivered")).to_have_attribute("data-sender", "user")
    expect(message(page, "Hello Alex")).to_contain_text("Delivered")
    expect(page.get_by_test_id("composer")).to_have_value("")
    expect(page.get_by_test_id("send")).to_be_disabled()
    assert len(texts(page)) == 1


def test_what_is_written_meanwhile_stays_when_the_ack_comes(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = lambda frame: []
    page = open_chat(scripted)
    send(page, "first")
    write(page, "second")
    for frame in scripted.save(scripted.wait_for("CHAT_MESSAGE")[0]):
        scripted.say(**frame)
    expect(with_status(page, "first", "delivered")).to_be_visible()
    expect(page.get_by_test_id("composer")).to_have_value("second")
    expect(page.get_by_test_id("send")).to_be_enabled()


def test_nothing_is_sent_while_the_text_is_empty(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    expect(page.get_by_test_id("send")).to_be_disabled()
    send(page, "   ")
    expect(page.get_by_test_id("send")).to_be_disabled()
    send(page, "x")
    expect(with_status(page, "x", "delivered")).to_be_visible()
    assert [frame["data"] for frame in scripted.frames("CHAT_MESSAGE")] == ["x"]


def test_the_status_is_grey_then_green_then_red(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    def colour(text: str) -> tuple[int, ...]:
        rgb = message(page, text).locator(".tick").evaluate("tick => getComputedStyle(tick).color")
        return tuple(int(part) for part in re.findall(r"\d+", rgb)[:3])

    page = open_chat(scripted)
    scripted.answer = lambda frame: []
    send(page, "grey")
    expect(with_status(page, "grey", "sending")).to_be_visible()
    red, green, blue = colour("grey")
    assert max(red, green, blue) - min(red, green, blue) < 50
    scripted.answer = scripted.save
    send(page, "green")
    expect(with_status(page, "green", "delivered")).to_be_visible()
    red, green, blue = colour("green")
    assert green > red + 50 and green > blue + 50
    scripted.answer = lambda frame: scripted.nack(frame, "validation_failed", "No.")
    send(page, "red")
    expect(with_status(page, "red", "failed")).to_be_visible()
    red, green, blue = colour("red")
    assert red > green + 100 and red > blue + 100


def test_a_refused_message_fails_with_a_toast_and_keeps_its_text(
    real_server: RunningServer, open_chat: OpenChat
) -> None:
    page = open_chat(real_server, user="nora", conversation="conv_nora_ai_alex")
    long = "long " * 900
    send(page, long)
    failed = page.locator("[data-message-id][data-status=failed]")
    expect(failed).to_be_visible()
    expect(failed).to_contain_text("Not delivered")
    expect(page.get_by_test_id("toast")).to_have_attribute("role", "alert")
    expect(page.get_by_test_id("toast")).to_contain_text("The text has 4499 characters, at most 4000")
    expect(page.get_by_test_id("composer")).to_have_value(long)
    expect(page.get_by_test_id("send")).to_be_enabled()
    expect(failed.get_by_test_id("retry")).to_be_visible()


def test_a_retry_that_succeeds_empties_the_composer_and_leaves_one_message(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    page = open_chat(scripted)
    send(page, "once more")
    expect(with_status(page, "once more", "failed")).to_be_visible()
    scripted.answer = scripted.save
    page.get_by_test_id("retry").click()
    expect(with_status(page, "once more", "delivered")).to_be_visible()
    expect(page.get_by_test_id("composer")).to_have_value("")
    first, second = (frame["message_id"] for frame in scripted.frames("CHAT_MESSAGE"))
    assert first != second
    assert texts(page) == ["once more"]


def test_a_retry_leaves_a_text_that_was_changed_since(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    page = open_chat(scripted)
    send(page, "once more")
    expect(with_status(page, "once more", "failed")).to_be_visible()
    write(page, "something else")
    scripted.answer = scripted.save
    page.get_by_test_id("retry").click()
    expect(with_status(page, "once more", "delivered")).to_be_visible()
    expect(page.get_by_test_id("composer")).to_have_value("something else")


def test_sending_the_kept_text_again_is_a_retry_too(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "outcome_unknown", "Perhaps.", retryable=True)
    page = open_chat(scripted)
    send(page, "perhaps")
    expect(with_status(page, "perhaps", "failed")).to_be_visible()
    scripted.answer = scripted.save
    page.get_by_test_id("send").click()
    expect(with_status(page, "perhaps", "delivered")).to_be_visible()
    first, second = (frame["message_id"] for frame in scripted.frames("CHAT_MESSAGE"))
    assert first == second
    assert texts(page) == ["perhaps"]


def test_a_failed_message_can_be_deleted(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "validation_failed", "No.")
    page = open_chat(scripted)
    send(page, "never mind")
    page.get_by_test_id("discard").click()
    expect(message(page, "never mind")).to_have_count(0)
    page.reload()
    expect(page.locator("[data-testid=connection][data-state=open]")).to_be_attached()
    expect(message(page, "never mind")).to_have_count(0)


def test_a_failed_message_is_back_after_a_reload_and_can_be_sent(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    page = open_chat(scripted)
    send(page, "remember me")
    expect(with_status(page, "remember me", "failed")).to_be_visible()
    scripted.answer = scripted.save
    page.reload()
    expect(with_status(page, "remember me", "failed")).to_be_visible()
    expect(page.get_by_test_id("toast")).to_have_count(0)
    page.get_by_test_id("retry").click()
    expect(with_status(page, "remember me", "delivered")).to_be_visible()
    page.reload()
    expect(with_status(page, "remember me", "delivered")).to_be_visible()
    assert texts(page) == ["remember me"]


def test_too_many_messages_are_told_when_to_go_on(tmp_path: Path, open_chat: OpenChat) -> None:
    with running_server(tmp_path, rate_limit__messages=1, rate_limit__window=30.0) as server:
        page = open_chat(server)
        send(page, "first")
        expect(with_status(page, "first", "delivered")).to_be_visible()
        send(page, "second")
        expect(with_status(page, "second", "failed")).to_be_visible()
        expect(page.get_by_test_id("toast")).to_contain_text(re.compile(r"It is sent again in \d+ s\."))
        expect(with_status(page, "first", "delivered")).to_be_visible()


def test_both_sides_of_a_real_conversation_show_in_order_on_two_devices(
    real_server: RunningServer, open_chat: OpenChat
) -> None:
    who = {"user": "omar", "conversation": "conv_omar_ai_alex"}
    phone, laptop = open_chat(real_server, **who), open_chat(real_server, **who)
    send(phone, "from the phone")
    expect(with_status(laptop, "from the phone", "delivered")).to_have_attribute("data-sender", "user")
    real_server.post("/api/send-ai-message", {"conversation_id": who["conversation"], "message": "from Alex"})
    send(laptop, "from the laptop")
    for page in (phone, laptop):
        expect(with_status(page, "from the laptop", "delivered")).to_be_visible()
        expect(message(page, "from Alex")).to_have_attribute("data-sender", "ai")
    assert texts(phone) == texts(laptop)
    assert sorted(texts(phone)) == ["from Alex", "from the laptop", "from the phone"]


def test_two_tabs_are_two_devices_and_a_reload_is_none_more(
    real_server: RunningServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    who: Any = {"user": "tia", "conversation": "conv_tia_ai_alex", "context": open_context()}
    one, other = open_chat(real_server, **who), open_chat(real_server, **who)
    expect(one.get_by_test_id("devices")).to_have_text("2 devices")
    expect(other.get_by_test_id("devices")).to_have_text("2 devices")
    other.reload()
    expect(other.get_by_test_id("devices")).to_have_text("2 devices")
    other.close()
    expect(one.get_by_test_id("devices")).to_have_text("1 device")


def test_older_messages_come_as_one_scrolls_up_and_nothing_jumps(
    real_server: RunningServer, open_chat: OpenChat
) -> None:
    who = {"user": "hal", "conversation": "conv_hal_ai_alex"}
    page = open_chat(real_server, **who)
    with httpx2.Client() as client:
        for number in range(130):
            body = {"conversation_id": who["conversation"], "message": f"message {number}"}
            client.post(f"{real_server.url}/api/send-ai-message", json=body)
    page.reload()
    expect(message(page, "message 129")).to_be_in_viewport()
    assert len(texts(page)) == 50
    first = page.locator("[data-message-id]").first
    first.scroll_into_view_if_needed()
    expect(page.locator("[data-message-id]")).to_have_count(100)
    expect(first).not_to_be_in_viewport()
    expect(message(page, "message 80")).to_be_in_viewport()
    page.locator("[data-message-id]").first.scroll_into_view_if_needed()
    expect(page.locator("[data-message-id]")).to_have_count(130)
    assert texts(page) == [f"message {number}" for number in range(130)]
    page.locator(".older").scroll_into_view_if_needed()
    expect(page.get_by_text("This is the beginning of your chat")).to_be_visible()


def test_whoever_holds_on_to_the_upper_end_gets_there(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    for number in range(160):
        scripted.keep(data=f"message {number}")
    page = open_chat(scripted)
    page.locator(".scroller").evaluate("""scroller => {
        const hold = () => { scroller.scrollTop = 0; requestAnimationFrame(hold); };
        hold();
    }""")
    expect(page.locator("[data-message-id]")).to_have_count(160)


def test_a_history_that_cannot_be_had_is_said_and_can_be_tried_again(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.keep(data="from before")
    scripted.history_available = False
    page = open_chat(scripted)
    expect(page.get_by_text("Earlier messages could not be loaded.")).to_be_visible()
    scripted.history_available = True
    page.get_by_role("button", name="Try again").click()
    expect(message(page, "from before")).to_be_visible()


def test_days_are_told_apart(
    scripted: ScriptedServer, open_chat: OpenChat, open_context: OpenContext
) -> None:
    context = open_context()
    context.clock.set_fixed_time("2026-11-23T12:00:00Z")
    for day in ("2025-03-03", "2026-11-02", "2026-11-22", "2026-11-23"):
        scripted.keep(data=day, timestamp=f"{day}T09:05:00Z")
    page = open_chat(scripted, context=context)
    expect(page.locator(".day")).to_have_text(["3 March 2025", "Monday 2 November", "Yesterday", "Today"])
    expect(message(page, "2026-11-23").locator("time")).to_have_text("09:05")


def test_a_person_who_reads_above_stays_there_and_is_told_of_new_messages(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    for number in range(40):
        scripted.keep(data=f"message {number}")
    page = open_chat(scripted)
    expect(message(page, "message 39")).to_be_in_viewport()
    message(page, "message 3").scroll_into_view_if_needed()
    scripted.say(**scripted.keep(data="something new"))
    expect(page.get_by_role("button", name="1 new message")).to_be_visible()
    expect(message(page, "something new")).not_to_be_in_viewport()
    expect(page).to_have_title("(1) Alex")
    page.get_by_role("button", name="1 new message").click()
    expect(page).to_have_title("Alex")
    expect(message(page, "something new")).to_be_in_viewport()
    expect(page.get_by_role("button", name="1 new message")).to_be_hidden()


def test_whoever_writes_while_reading_above_sees_what_they_wrote(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    for number in range(40):
        scripted.keep(data=f"message {number}")
    page = open_chat(scripted)
    message(page, "message 3").scroll_into_view_if_needed()
    send(page, "my answer")
    expect(message(page, "my answer")).to_be_in_viewport()


def test_a_message_of_many_lines_leaves_the_newest_in_view(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    for number in range(40):
        scripted.keep(data=f"message {number}")
    page = open_chat(scripted)
    expect(message(page, "message 39")).to_be_in_viewport()
    page.get_by_test_id("composer").evaluate("""composer => {
        composer.value = 'line\\n'.repeat(8) + 'end';
        composer.dispatchEvent(new Event('input'));
        document.querySelector('.scroller').dispatchEvent(new Event('scroll'));  // before the layout is told
    }""")
    expect(message(page, "message 39")).to_be_in_viewport(ratio=1)
    scripted.answer = lambda frame: []
    page.get_by_test_id("composer").press("Enter")
    sent = page.locator("[data-status=sending]")
    expect(sent.locator(".meta")).to_be_in_viewport(ratio=1)
    scripted.say(**scripted.keep(data="an answer"))
    expect(message(page, "an answer")).to_be_in_viewport(ratio=1)


def test_the_composer_is_as_high_as_its_text_though_the_phone_is_turned(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted, viewport={"width": 360, "height": 740})
    composer = page.get_by_test_id("composer")
    write(page, "word " * 12)
    upright = composer.evaluate("it => it.offsetHeight")
    page.set_viewport_size({"width": 740, "height": 360})
    expect(composer).to_have_css("height", "44px")  # one line
    assert upright > 44


def test_typing_shows_only_while_it_is_on(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    typing = page.get_by_test_id("typing")
    expect(typing).to_be_hidden()
    scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True})
    expect(typing).to_be_visible()
    expect(typing).to_contain_text("Alex")
    scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": False})
    expect(typing).to_be_hidden()
    scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True})
    expect(typing).to_be_visible()
    scripted.say(**scripted.keep(data="done"))
    expect(typing).to_be_hidden()
    scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True})
    expect(typing).to_be_visible()
    scripted.close(4002, "too slow")
    expect(typing).to_be_hidden()


def test_own_typing_is_told_and_ends_with_the_text(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    def told() -> list[bool]:
        return [frame["data"]["is_typing"] for frame in scripted.frames("TYPING_INDICATOR")]

    page = open_chat(scripted)
    write(page, "h")
    write(page, "he")
    write(page, "")
    send(page, "x")
    expect(with_status(page, "x", "delivered")).to_be_visible()
    assert told() == [True, False, True]


def test_whoever_pauses_has_stopped_typing_and_whoever_sent_says_no_more_of_it(
    scripted: ScriptedServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    def told() -> list[bool]:
        return [frame["data"]["is_typing"] for frame in scripted.frames("TYPING_INDICATOR")]

    context = open_context()
    context.clock.install()
    page = open_chat(scripted, context=context)
    write(page, "hm")
    page.clock.run_for(3_000)
    scripted.wait_for("TYPING_INDICATOR", 2)
    assert told() == [True, False]
    write(page, "hm, yes")
    page.get_by_test_id("composer").press("Enter")
    expect(with_status(page, "hm, yes", "delivered")).to_be_visible()
    page.clock.run_for(3_000)
    send(page, "x")
    expect(with_status(page, "x", "delivered")).to_be_visible()
    assert told() == [True, False, True, True]


def test_the_last_message_that_was_read_says_so(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    for text in ("one", "two"):
        send(page, text)
        expect(with_status(page, text, "delivered")).to_be_visible()
    scripted.say(type="READ_RECEIPT", sender="ai_alex", data={"message_id": "m1", "seq": 1})
    expect(message(page, "one").get_by_text("Read", exact=True)).to_be_visible()
    expect(message(page, "two").get_by_text("Read", exact=True)).to_be_hidden()
    scripted.say(type="READ_RECEIPT", sender="ai_alex", data={"message_id": "m2", "seq": 2})
    expect(message(page, "two").get_by_text("Read", exact=True)).to_be_visible()
    expect(message(page, "one").get_by_text("Read", exact=True)).to_be_hidden()


def test_what_is_in_view_is_marked_as_read_once(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.keep(data="from before")
    page = open_chat(scripted)
    expect(message(page, "from before")).to_be_visible()
    scripted.say(**scripted.keep(data="live"))
    expect(message(page, "live")).to_be_visible()
    send(page, "x")
    expect(with_status(page, "x", "delivered")).to_be_visible()
    assert [frame["data"]["message_id"] for frame in scripted.frames("READ_RECEIPT")] == ["m1", "m2"]


MARKUP = (
    "<img src=x onerror=\"document.title='owned'\"><b>bold</b> &amp; <script>document.title='owned'</script>"
)


def test_markup_is_text_everywhere(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    ai = {"id": "ai_alex", "name": MARKUP, "status": MARKUP}
    scripted.welcome = {"ai": ai}
    scripted.keep(data=MARKUP)
    last = {"type": "AI_RESPONSE", "data": MARKUP, "timestamp": "2026-11-23T10:00:00Z"}
    scripted.conversations = [{"conversation_id": "conv_other", "ai": ai, "last_message": last, "unread": 1}]
    page = open_chat(scripted)
    scripted.say(type="AI_RESPONSE_CHUNK", message_id="s1", data={"text": MARKUP, "index": 0})
    scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True})
    scripted.say(type="NEW_MATCH", data={"ai": ai, "conversation_id": "conv_new"})
    scripted.say(type="SYSTEM", data={"event": "announcement", "text": MARKUP})
    scripted.answer = lambda frame: scripted.nack(frame, "validation_failed", MARKUP)
    send(page, MARKUP)
    expect(page.get_by_test_id("toast")).to_contain_text(MARKUP)
    for place in ("announcement", "match", "typing", "conversations"):
        expect(page.get_by_test_id(place)).to_contain_text(MARKUP)
    assert texts(page) == [MARKUP] * 3
    scripted.close(1008, MARKUP[:100])
    expect(page.get_by_test_id("connection")).to_contain_text(MARKUP[:100])
    expect(page.locator("body img, body b, body script")).to_have_count(0)
    assert "owned" not in page.title().replace("='owned'", "")
