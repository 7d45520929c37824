"""What is written, what was sent and what becomes of it: one never becomes part of the other."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Locator, Page, expect

from tests.server.web.page.acting import message, send, texts, with_status, write
from tests.server.web.page.conftest import OpenChat
from tests.server.web.page.scripted_server import Frame, ScriptedServer


def composer(page: Page) -> Locator:
    return page.get_by_test_id("composer")


def never(frame: Frame) -> list[Frame]:
    return []


def deliver(scripted: ScriptedServer, frame: Frame) -> None:
    for answer in scripted.save(frame):
        scripted.say(**answer)


def refuse(scripted: ScriptedServer, frame: Frame, retryable: bool = True) -> None:
    for answer in scripted.nack(frame, "store_unavailable", "Try later.", retryable=retryable):
        scripted.say(**answer)


def sent(scripted: ScriptedServer) -> list[str]:
    return [frame["data"] for frame in scripted.frames("CHAT_MESSAGE")]


@pytest.mark.parametrize("caret", ["End", "Home", "ArrowLeft"])
def test_the_first_key_after_sending_begins_the_next_message(
    scripted: ScriptedServer, open_chat: OpenChat, caret: str
) -> None:
    scripted.answer = never
    page = open_chat(scripted)
    page.keyboard.type("How are you")
    page.keyboard.press("Enter")
    expect(composer(page)).to_have_value("How are you")
    page.keyboard.press(caret)
    page.keyboard.type("I am fine")
    expect(composer(page)).to_have_value("I am fine")
    page.keyboard.press("Enter")
    scripted.wait_for("CHAT_MESSAGE", 2)
    assert sent(scripted) == ["How are you", "I am fine"]


def paste(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('new')")
    page.keyboard.press("Control+v")


def extension(page: Page) -> None:
    page.evaluate("document.execCommand('insertText', false, 'new')")


def input_method_without_a_key(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    session.send("Input.imeSetComposition", {"text": "n", "selectionStart": 1, "selectionEnd": 1})
    session.send("Input.imeSetComposition", {"text": "new", "selectionStart": 3, "selectionEnd": 3})
    session.send("Input.insertText", {"text": "new"})


def input_method(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    session.send(
        "Input.dispatchKeyEvent", {"type": "rawKeyDown", "windowsVirtualKeyCode": 229, "key": "Process"}
    )
    input_method_without_a_key(page)


@pytest.mark.parametrize("how", [paste, extension, input_method, input_method_without_a_key])
@pytest.mark.parametrize("fails", [False, True])
def test_text_that_comes_without_keys_begins_the_next_message_too(
    scripted: ScriptedServer, open_chat: OpenChat, how: Callable[[Page], None], fails: bool
) -> None:
    scripted.answer = never
    page = open_chat(scripted)
    send(page, "sent before")
    expect(with_status(page, "sent before", "sending")).to_be_visible()
    if fails:
        refuse(scripted, scripted.wait_for("CHAT_MESSAGE")[0])
        expect(with_status(page, "sent before", "failed")).to_be_visible()
    how(page)
    expect(composer(page)).to_have_value("new")
    page.keyboard.press("Control+z")
    assert "sent before" not in composer(page).input_value() or composer(page).input_value() == "sent before"


def test_the_enter_that_ends_a_composition_does_not_send(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    write(page, "日本")
    # Safari's order: the composition is over when its Enter is told.
    composer(page).evaluate("""field => {
        field.dispatchEvent(new CompositionEvent('compositionend', { data: '日本', bubbles: true }));
        const key = { key: 'Enter', keyCode: 229, bubbles: true, cancelable: true };
        field.dispatchEvent(new KeyboardEvent('keydown', key));
    }""")
    expect(composer(page)).to_have_value("日本")
    page.keyboard.press("Enter")
    expect(with_status(page, "日本", "delivered")).to_be_visible()
    assert sent(scripted) == ["日本"]


def test_after_a_reload_a_failed_text_is_a_message_and_no_draft(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = never
    page = open_chat(scripted)
    send(page, "refused")
    expect(with_status(page, "refused", "sending")).to_be_visible()
    refuse(scripted, scripted.wait_for("CHAT_MESSAGE")[0])
    expect(with_status(page, "refused", "failed")).to_be_visible()
    expect(composer(page)).to_have_value("refused")
    page.reload()
    expect(with_status(page, "refused", "failed")).to_be_visible()
    expect(composer(page)).to_have_value("")
    expect(page.get_by_test_id("send")).to_be_disabled()


def test_a_draft_of_the_same_words_as_a_message_under_way_is_a_message_of_its_own(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = never
    page = open_chat(scripted)
    for _ in range(2):
        page.keyboard.type("ok")
        page.keyboard.press("Enter")
    expect(message(page, "ok")).to_have_count(2)
    first, second = scripted.wait_for("CHAT_MESSAGE", 2)
    deliver(scripted, first)
    expect(with_status(page, "ok", "delivered")).to_have_count(1)
    expect(composer(page)).to_have_value("ok")  # the second's
    page.keyboard.type("ok")
    deliver(scripted, second)
    expect(with_status(page, "ok", "delivered")).to_have_count(2)
    expect(composer(page)).to_have_value("ok")  # a third, not sent yet


def test_a_failed_message_can_be_edited(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "validation_failed", "No.")
    page = open_chat(scripted)
    send(page, "Helo")
    expect(with_status(page, "Helo", "failed")).to_be_visible()
    scripted.answer = scripted.save
    page.get_by_test_id("edit").click()
    expect(message(page, "Helo")).to_have_count(0)
    expect(composer(page)).to_be_focused()
    page.keyboard.press("Backspace")
    page.keyboard.type("lo")
    page.keyboard.press("Enter")
    expect(with_status(page, "Hello", "delivered")).to_be_visible()
    page.reload()
    expect(message(page, "Hello")).to_be_visible()
    assert texts(page) == ["Hello"]


def test_a_text_that_is_deleted_leaves_the_composer_too(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "validation_failed", "No.")
    page = open_chat(scripted)
    send(page, "never mind")
    page.get_by_test_id("discard").click()
    expect(composer(page)).to_have_value("")


def test_near_the_most_characters_they_are_counted(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    scripted.welcome = {"max_text_length": 10}
    page = open_chat(scripted)
    counter = page.locator("[data-part=counter]")
    write(page, "1234567")
    expect(counter).to_be_hidden()
    write(page, "123456😀8")
    expect(counter).to_be_visible()
    expect(counter).to_have_text("8 / 10")
    expect(counter).not_to_have_class("counter over")
    write(page, "12345678901")
    expect(counter).to_have_text("11 / 10")
    expect(counter).to_have_class("counter over")


def test_pasted_code_keeps_its_indentation(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    code = "    if x:\n        y()\n    else:\n\tz()"
    send(page, f"\n{code}\n")
    expect(page.locator("[data-status=delivered]")).to_be_visible()
    assert sent(scripted) == [code]
    assert page.locator(".text").inner_text() == code


def test_characters_that_show_nothing_cannot_be_sent(scripted: ScriptedServer, open_chat: OpenChat) -> None:
    page = open_chat(scripted)
    for nothing in ("\u200b", "\u2800 ", "\u3164"):
        write(page, nothing)
        expect(page.get_by_test_id("send")).to_be_disabled()


def test_several_failures_are_sent_again_in_their_order_by_one_click(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    page = open_chat(scripted)
    for text in ("one", "two", "three"):
        send(page, text)
        expect(with_status(page, text, "failed")).to_be_visible()
        if text == "one":
            expect(page.get_by_test_id("retry-all")).to_be_hidden()
    expect(page.get_by_text("3 messages not delivered")).to_be_visible()
    scripted.answer = scripted.save
    page.get_by_test_id("retry-all").click()
    expect(page.locator("[data-status=delivered]")).to_have_count(3)
    expect(page.get_by_test_id("retry-all")).to_be_hidden()
    expect(composer(page)).to_have_value("")
    assert [frame["data"] for frame in scripted.log] == ["one", "two", "three"]


def test_what_cannot_be_sent_again_yet_holds_back_what_was_written_after_it(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    page = open_chat(scripted)
    for text in ("one", "two", "three"):
        send(page, text)
        expect(with_status(page, text, "failed")).to_be_visible()
    page.get_by_test_id("retry-all").click()
    scripted.wait_for("CHAT_MESSAGE", 4)
    expect(with_status(page, "one", "failed")).to_be_visible()
    scripted.answer = scripted.save
    send(page, "four")
    expect(with_status(page, "four", "delivered")).to_be_visible()
    assert sent(scripted) == ["one", "two", "three", "one", "four"]


def test_what_the_rate_limit_refused_is_sent_by_itself_in_order_when_there_is_room(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    def limited(frame: Frame) -> list[Frame]:
        if len(scripted.log) < room:
            return scripted.save(frame)
        return scripted.nack(frame, "rate_limited", "Too many messages.", retryable=True, retry_after=0.2)

    room = 1
    scripted.answer = limited
    page = open_chat(scripted)
    for number in range(4):
        send(page, f"message {number}")
        expect(message(page, f"message {number}")).to_be_visible()
    expect(page.get_by_test_id("toast")).to_contain_text("It is sent again in 1 s.")
    expect(page.locator("[data-status=failed]").first).to_be_visible()
    room = 3
    expect(page.locator("[data-status=delivered]")).to_have_count(3)
    room = 4
    expect(page.locator("[data-status=delivered]")).to_have_count(4)
    assert [frame["data"] for frame in scripted.log] == [f"message {number}" for number in range(4)]


def test_what_was_refused_for_good_is_not_sent_with_what_waits_for_the_rate_limit(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    scripted.answer = lambda frame: scripted.nack(frame, "validation_failed", "No.")
    send(page, "never")
    expect(with_status(page, "never", "failed")).to_be_visible()
    scripted.answer = lambda frame: scripted.nack(
        frame, "rate_limited", "Too many.", retryable=True, retry_after=0.5
    )
    send(page, "later")
    expect(with_status(page, "later", "failed")).to_be_visible()
    scripted.answer = scripted.save
    expect(with_status(page, "later", "delivered")).to_be_visible()
    expect(with_status(page, "never", "failed")).to_be_visible()
    assert sent(scripted) == ["never", "later", "later"]


# Of everything at once, in any order.
STEPS = st.one_of(
    st.just(("type", 0)),
    st.just(("type at the start", 0)),
    st.just(("send", 0)),
    st.just(("send", 0)),
    st.just(("erase", 0)),
    st.tuples(st.sampled_from(["ack", "refuse", "retry", "delete"]), st.integers(0, 3)),
    st.just(("reload", 0)),
)
WORDS = count()


@dataclass
class Person:
    """Writes and sends, and knows what they meant."""

    page: Page
    scripted: ScriptedServer
    draft: str = ""
    messages: list[str] = field(default_factory=list)
    delivered: set[str] = field(default_factory=set)

    def do(self, step: str, which: int) -> None:
        getattr(self, f"_{step.replace(' ', '_')}")(which)
        self.check()

    def _type(self, _: int) -> None:
        word = f"w{next(WORDS)} "
        composer(self.page).press("ControlOrMeta+End")
        self.page.keyboard.type(word)
        self.draft += word

    def _type_at_the_start(self, _: int) -> None:
        word = f"w{next(WORDS)} "
        composer(self.page).press("ControlOrMeta+Home")
        self.page.keyboard.type(word)
        self.draft = word + self.draft

    def _erase(self, _: int) -> None:
        composer(self.page).press("ControlOrMeta+End")
        self.page.keyboard.press("Backspace")
        self.draft = self.draft[:-1]

    def _send(self, _: int) -> None:
        if not self.draft.strip():
            return  # a failed text that is still there would be sent again: see `_retry`
        composer(self.page).press("Enter")
        self.messages.append(self.draft.strip(" ") if self.draft[0] != " " else self.draft.rstrip())
        self.draft = ""
        until(lambda: self.messages[-1] in sent(self.scripted))

    def _answer(self, which: int, answer: Callable[[ScriptedServer, Frame], None]) -> Frame | None:
        waiting = self._unanswered()
        if not waiting:
            return None
        frame = waiting[which % len(waiting)]
        answer(self.scripted, frame)
        self.scripted.received.remove(frame)
        return frame

    def _unanswered(self) -> list[Frame]:
        """What the server still owes an answer, and somebody still waits for."""
        alive = set(self.messages) - self.delivered
        return [frame for frame in self.scripted.frames("CHAT_MESSAGE") if frame["data"] in alive]

    def _ack(self, which: int) -> None:
        if frame := self._answer(which, deliver):
            self.delivered.add(frame["data"])
            expect(with_status(self.page, frame["data"], "delivered")).to_be_visible()

    def _refuse(self, which: int) -> None:
        if frame := self._answer(which, refuse):
            expect(with_status(self.page, frame["data"], "failed")).to_be_visible()

    def _retry(self, which: int) -> None:
        if failed := self.page.get_by_test_id("retry").all():
            before = len(self.scripted.frames("CHAT_MESSAGE"))
            failed[which % len(failed)].click()
            until(lambda: len(self.scripted.frames("CHAT_MESSAGE")) > before)

    def _delete(self, which: int) -> None:
        failed = self.page.locator("[data-status=failed]").all()
        waiting = {frame["data"] for frame in self._unanswered()}
        # One that may still be saved after all may come back.
        certain = [one for one in failed if one.locator(".text").inner_text() not in waiting]
        if certain:
            chosen = certain[which % len(certain)]
            self.messages.remove(chosen.locator(".text").inner_text())
            chosen.get_by_test_id("discard").click()

    def _reload(self, _: int) -> None:
        self.page.reload()
        expect(self.page.locator("[data-testid=connection][data-state=open]")).to_be_attached()

    def check(self) -> None:
        """Each message is there once, as it was meant, and the draft is what was written since."""
        until(lambda: sorted(texts(self.page)) == sorted(self.messages))
        assert {frame["data"] for frame in self.scripted.frames("CHAT_MESSAGE")} <= set(self.messages)
        value = composer(self.page).input_value()
        kept = not self.draft and value.rstrip() in self.messages
        assert value == self.draft or kept, (value, self.draft)
        if kept:
            expect(with_status(self.page, value.rstrip(), "delivered")).to_have_count(0)


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_whatever_is_typed_sent_refused_and_reloaded_each_message_is_what_was_meant(
    open_chat: OpenChat, scripted: ScriptedServer
) -> None:
    page = open_chat(scripted)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(STEPS, min_size=3, max_size=14))
    def play(steps: list[tuple[str, int]]) -> None:
        scripted.log.clear()
        scripted.received.clear()
        scripted.answer = never
        page.goto(f"{scripted.url}/app?user=kai&conversation=c{next(WORDS)}")
        expect(page.locator("[data-testid=connection][data-state=open]")).to_be_attached()
        person = Person(page, scripted)
        for step, which in steps:
            person.do(step, which)

    play()
