"""Debian's Chromium, and pages in it that may not do anything unseemly."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    WebError,
    sync_playwright,
)

from tests.server.web.page.scripted_server import ScriptedServer
from tests.support.server import RunningServer, running_server

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT = 10_000  # ms: how long a page may take to show what is expected

DEFAULTS: dict[str, Any] = {"locale": "en-GB", "timezone_id": "UTC", "reduced_motion": "reduce"}

OpenContext = Callable[..., BrowserContext]
OpenChat = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for longer: while Playwright is on, no other event loop may run in this thread."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def faults() -> list[str]:
    """What pages did wrong."""
    return []


@pytest.fixture
def open_context(browser: Browser, faults: list[str]) -> Iterator[OpenContext]:
    """A browser of its own, `open_context(color_scheme=...)`. What its pages do wrong fails the test."""
    contexts: list[BrowserContext] = []

    def open_one(**options: Any) -> BrowserContext:
        contexts.append(new_context(browser, faults, options))
        return contexts[-1]

    faults.clear()
    yield open_one
    for context in contexts:
        context.close()
    assert not faults, faults


def new_context(browser: Browser, faults: list[str], options: dict[str, Any]) -> BrowserContext:
    """Collects uncaught errors, breaches of the content policy and requests to anybody else as faults."""

    def error(found: WebError) -> None:
        faults.append(str(found.error))

    def console(line: ConsoleMessage) -> None:
        if "Content Security Policy" in line.text:
            faults.append(line.text)

    def request(sent: Request) -> None:
        if "//127.0.0.1:" not in sent.url:
            faults.append(sent.url)

    context = browser.new_context(**(DEFAULTS | options))
    context.set_default_timeout(TIMEOUT)
    context.on("weberror", error)
    context.on("console", console)
    context.on("request", request)
    return context


@pytest.fixture(scope="module")
def tab(browser: Browser, faults: list[str]) -> Page:
    """For the first page of a test, which is half of its time. A scripted server is an origin of its own, and
    each test of a real one has its own user: neither finds anything of another test.
    """
    return new_context(browser, faults, {}).new_page()


@pytest.fixture
def open_chat(open_context: OpenContext, tab: Page) -> Iterator[OpenChat]:
    """`open_chat(server, user=..., conversation=..., context=...)`: the page, connected."""
    free = [tab]

    def open_page(
        server: ScriptedServer | RunningServer,
        user: str = "kai",
        conversation: str = "conv_kai_ai_alex",
        fragment: str = "",
        context: BrowserContext | None = None,
        **options: Any,
    ) -> Page:
        page = free.pop() if free and not context and not options else None
        page = page or (context or open_context(**options)).new_page()
        page.goto(f"{server.url}/app?user={user}&conversation={conversation}{fragment}")
        page.locator("[data-testid=connection][data-state=open]").wait_for(state="attached")
        return page

    yield open_page
    tab.goto("about:blank")


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One for all tests of a module: each has a user of its own."""
    with running_server(tmp_path_factory.mktemp("web")) as server:
        yield server
