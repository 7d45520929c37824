"""What a person does on the page, and where they look."""

import re

from playwright.sync_api import Locator, Page


def write(page: Page, text: str) -> None:
    page.get_by_test_id("composer").fill(text)


def send(page: Page, text: str) -> None:
    write(page, text)
    page.get_by_test_id("composer").press("Enter")


def message(page: Page, text: str) -> Locator:
    """The message with this text."""
    shown = page.locator(".text", has_text=re.compile(f"^{re.escape(text)}$"))
    return page.locator("[data-testid=messages] [data-message-id]", has=shown)


def with_status(page: Page, text: str, status: str) -> Locator:
    return message(page, text).and_(page.locator(f"[data-status={status}]"))


def texts(page: Page) -> list[str]:
    """All messages, from the top."""
    shown: list[str] = page.locator("[data-testid=messages] [data-message-id] .text").all_inner_texts()
    return shown
