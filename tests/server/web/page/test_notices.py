"""Toasts for faults: each is told once and goes away by itself, but not while somebody reads it."""

from playwright.sync_api import Page, expect

from tests.server.web.page.acting import send, with_status
from tests.server.web.page.conftest import OpenChat, OpenContext
from tests.server.web.page.scripted_server import Frame, ScriptedServer

SHOWN_FOR = 8_000  # ms


def fail(page: Page, text: str) -> None:
    send(page, text)
    expect(with_status(page, text, "failed")).to_be_visible()


def test_the_same_fault_twice_is_told_once_and_another_beside_it(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    page = open_chat(scripted)
    scripted.answer = lambda frame: scripted.nack(frame, "store_unavailable", "Try later.", retryable=True)
    fail(page, "one")
    fail(page, "two")
    expect(page.get_by_test_id("toast")).to_have_text(["Try later."])
    scripted.answer = lambda frame: scripted.nack(frame, "validation_failed", "No.")
    fail(page, "three")
    expect(page.get_by_test_id("toast")).to_have_text(["Try later.", "No."])


def test_of_many_that_the_rate_limit_refuses_the_newest_says_how_long(
    scripted: ScriptedServer, open_chat: OpenChat
) -> None:
    def limited(frame: Frame) -> list[Frame]:
        seconds = {"one": 25.0, "two": 24.0}[frame["data"]]
        return scripted.nack(frame, "rate_limited", "Too many.", retryable=True, retry_after=seconds)

    page = open_chat(scripted)
    scripted.answer = limited
    fail(page, "one")
    fail(page, "two")
    expect(page.get_by_test_id("toast")).to_have_text(["Too many. It is sent again in 24 s."])


def test_a_toast_goes_by_itself_but_not_while_somebody_points_at_it(
    scripted: ScriptedServer, open_context: OpenContext, open_chat: OpenChat
) -> None:
    context = open_context()
    context.clock.install()
    page = open_chat(scripted, context=context)
    scripted.answer = lambda frame: scripted.nack(frame, "validation_failed", "No.")
    fail(page, "one")
    toast = page.get_by_test_id("toast")
    toast.hover()
    page.clock.run_for(SHOWN_FOR)
    expect(toast).to_be_visible()
    page.mouse.move(0, 0)
    page.clock.run_for(SHOWN_FOR)
    expect(toast).to_have_count(0)
