"""Answers that grow, are stopped, break off or do not come, and the Markdown in them."""

from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.server.web.page.acting import send, texts, with_status
from tests.server.web.page.conftest import OpenChat
from tests.server.web.page.scripted_server import Frame, ScriptedServer


def piece(scripted: ScriptedServer, text: str, offset: int, id: str = "s1") -> None:
    data = {"text": text, "index": offset, "offset": offset}
    scripted.say(type="AI_RESPONSE_CHUNK", message_id=id, sender="ai_alex", data=data)


def answer_of(page: Page, id: str = "s1") -> Locator:
    return page.locator(f"[data-message-id={id}]")


def cancelled(scripted: ScriptedServer) -> list[Any]:
    return [frame.get("data") for frame in scripted.frames("CANCEL_RESPONSE")]


def test_an_answer_grows_in_place_and_becomes_the_message(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    for offset, text in [(0, "Once "), (5, "upon "), (10, "a time")]:
        piece(scripted, text, offset)
    answer = answer_of(page)
    expect(answer).to_have_attribute("data-sender", "ai")
    expect(answer.locator(".text")).to_have_text("Once upon a time")
    expect(page.get_by_test_id("stop")).to_be_visible()
    scripted.say(**scripted.keep(message_id="s1", data="Once upon a time."))
    expect(answer.locator(".text")).to_have_text("Once upon a time.")
    expect(page.get_by_test_id("stop")).to_be_hidden()
    expect(answer).not_to_have_attribute("data-finish", "")
    assert texts(page) == ["Once upon a time."]


def test_an_answer_that_was_being_written_goes_on_after_a_reconnection(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    piece(scripted, "Once ", 0)
    expect(answer_of(page)).to_be_visible()
    scripted.close(4002, "too slow")
    expect(answer_of(page)).to_have_count(0)
    expect(page.get_by_test_id("stop")).to_be_hidden()
    expect(page.locator("[data-testid=connection][data-state=open]")).to_be_attached()
    piece(scripted, "Once upon", 0)
    expect(answer_of(page).locator(".text")).to_have_text("Once upon")


def test_an_answer_can_be_stopped(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    piece(scripted, "Once upon", 0)
    page.get_by_test_id("stop").click()
    expect(page.get_by_test_id("stop")).to_be_visible()
    scripted.say(**scripted.keep(message_id="s1", data="Once upon", finish="cancelled"))
    expect(page.get_by_test_id("stop")).to_be_hidden()
    assert cancelled(scripted) == [{"message_id": "s1"}]


def test_whoever_stops_too_late_is_told_nothing(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    def too_late(frame: Frame) -> list[Frame]:
        whole = scripted.keep(message_id="s1", data="Once upon a time")
        return [whole, *scripted.nack(frame, "validation_failed", "Nothing is being written.")]

    page = open_chat(scripted)
    scripted.answer_cancel = too_late
    piece(scripted, "Once upon", 0)
    page.get_by_test_id("stop").click()
    expect(page.get_by_test_id("stop")).to_be_hidden()
    send(page, "well")
    expect(with_status(page, "well", "delivered")).to_be_visible()
    expect(page.get_by_test_id("toast")).to_have_count(0)


def test_a_stop_that_is_refused_is_told(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    scripted.answer_cancel = lambda frame: scripted.nack(frame, "internal_error", "Not stopped.")
    piece(scripted, "Once upon", 0)
    page.get_by_test_id("stop").click()
    expect(page.get_by_test_id("toast")).to_contain_text("Not stopped")


def test_without_a_connection_there_is_nothing_to_stop(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    piece(scripted, "Once upon", 0)
    expect(page.get_by_test_id("stop")).to_be_visible()
    scripted.refusal = (1013, "full")
    scripted.close(1013, "full")
    expect(page.locator("[data-testid=connection][data-state=reconnecting]")).to_be_visible()
    expect(page.get_by_test_id("stop")).to_be_hidden()


def test_an_answer_can_be_stopped_before_its_first_word(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": True})
    page.get_by_test_id("stop").click()
    scripted.say(type="TYPING_INDICATOR", sender="ai_alex", data={"is_typing": False})
    expect(page.get_by_test_id("stop")).to_be_hidden()
    assert cancelled(scripted) in ([{}], [None])
    scripted.say(type="TYPING_INDICATOR", sender="kai", data={"is_typing": True})
    expect(page.get_by_test_id("typing")).to_be_visible()
    expect(page.get_by_test_id("stop")).to_be_hidden()  # nobody stops themselves


def test_an_answer_that_breaks_off_goes_away(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    piece(scripted, "Once upon", 0)
    expect(answer_of(page)).to_be_visible()
    scripted.say(type="AI_RESPONSE_CHUNK", message_id="s1", data={"aborted": True})
    expect(answer_of(page)).to_have_count(0)
    expect(page.get_by_test_id("stop")).to_be_hidden()


@pytest.mark.parametrize(
    ("finish", "words"),
    [
        ("cancelled", "Stopped"),
        ("length", "Cut off here: it became too long"),
        ("content_filter", "Ended here by a content filter"),
        ("incomplete", "Broke off here"),
    ],
)
def test_an_answer_that_is_not_whole_says_why(
    scripted: ScriptedServer, open_chat: OpenChat, finish: str, words: str
) -> None:
    scripted.keep(message_id="old", data="From before", finish=finish)
    page = open_chat(scripted)
    scripted.say(**scripted.keep(message_id="new", data="Once upon", finish=finish))
    for id in ("old", "new"):
        expect(answer_of(page, id)).to_have_attribute("data-finish", finish)
        expect(answer_of(page, id)).to_contain_text(words)


def test_an_answer_that_does_not_come_is_told_until_one_comes(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    told = page.get_by_test_id("no-answer")
    send(page, "Are you there?")
    expect(with_status(page, "Are you there?", "delivered")).to_be_visible()
    scripted.say(type="SYSTEM", data={"event": "no_answer", "text": "Alex cannot answer.", "retry_in": 19.2})
    expect(told).to_have_text("Alex cannot answer. The next attempt is in 20 seconds.")
    scripted.say(type="SYSTEM", data={"event": "no_answer", "text": "Alex gave up.", "retry_in": None})
    expect(told).to_have_text("Alex gave up.")
    piece(scripted, "Now", 0)
    expect(told).to_be_hidden()


WRITTEN = """**Bold**, *italic* and `code_x`, [a link](https://example.org/a).

1. one
   - nested
2. two

```py
if x:
    y()
```

| a | b |
|---|---|
| 1 | 2 |

> said

[bad](javascript:alert) <b>no</b> ![p](https://example.org/p.png)"""


def test_markdown_is_shown_as_what_it_means_and_nothing_becomes_html(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    for end in range(0, len(WRITTEN), 25):
        piece(scripted, WRITTEN[end : end + 25], end)
    scripted.say(**scripted.keep(message_id="s1", data=WRITTEN))
    text = answer_of(page).locator(".text")
    expect(text.locator("strong")).to_have_text("Bold")
    expect(text.locator("em")).to_have_text("italic")
    expect(text.locator("p code")).to_have_text("code_x")
    expect(text.locator("ol > li")).to_have_count(2)
    expect(text.locator("ol ul > li")).to_have_text("nested")
    assert text.locator("pre code").inner_text() == "if x:\n    y()"
    expect(text.locator("td")).to_have_text(["1", "2"])
    expect(text.locator("blockquote")).to_have_text("said")
    expect(text.locator("a")).to_have_text(["a link", "p"])
    expect(text.locator("a").first).to_have_attribute("rel", "noopener noreferrer")
    expect(text.locator("b, img, script")).to_have_count(0)
    expect(text).to_contain_text("[bad](javascript:alert) <b>no</b>")


def test_own_messages_are_shown_as_they_were_written(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    send(page, "**no** `code`")
    expect(with_status(page, "**no** `code`", "delivered")).to_be_visible()


def test_what_a_person_has_selected_stays_while_the_answer_goes_on(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    piece(scripted, "First paragraph\n\nSecond", 0)
    expect(answer_of(page).locator("p")).to_have_count(2)
    answer_of(page).locator("p").first.evaluate("p => getSelection().selectAllChildren(p)")
    piece(scripted, " goes on\n\nThird", 23)
    expect(answer_of(page).locator("p")).to_have_count(3)
    assert page.evaluate("getSelection().toString()") == "First paragraph"
