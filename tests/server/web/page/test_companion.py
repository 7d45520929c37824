"""The page together with what a real server's AI does, and with its sign-in."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import httpx2
import jwt
from playwright.sync_api import Page, expect

from tests.server.web.page.acting import message, send, texts, with_status, write
from tests.server.web.page.conftest import OpenChat, OpenContext
from tests.support.server import RunningServer, running_server

SECRET = "a secret of more than thirty-two bytes"


def state(page: Page, state: str) -> None:
    expect(page.locator(f"[data-testid=connection][data-state={state}]")).to_be_attached()


@contextmanager
def closing_event(event: Event) -> Iterator[None]:
    """Sets the event in the end, whatever happened."""
    try:
        yield
    finally:
        event.set()


def test_a_companion_reads_types_and_answers(tmp_path: Path, open_chat: OpenChat) -> None:
    with running_server(
        tmp_path, ai__responder="demo", ai__typing_delay="[1.0, 1.0]", ai__turn_wait=0.1
    ) as server:
        page = open_chat(server)
        send(page, "Hello!")
        expect(page.get_by_test_id("typing")).to_be_visible()
        expect(message(page, "Hello!").get_by_text("Read", exact=True)).to_be_visible()
        answer = page.locator("[data-sender=ai]")
        expect(answer.locator("time")).to_be_visible()
        expect(page.get_by_test_id("typing")).to_be_hidden()
        whole = answer.locator(".text").inner_text()
        history = server.get("/api/conversations/conv_kai_ai_alex/messages").json()["items"]
        assert [frame["data"] for frame in history] == ["Hello!", whole]


def test_an_answer_of_a_service_grows_on_every_device_and_is_stopped_by_one(
    real_server: RunningServer, open_chat: OpenChat
) -> None:
    def words() -> Iterator[bytes]:
        for number in range(600):
            yield f"word{number} ".encode()
            if stopped.wait(0.05):
                return

    who = {"user": "ulf", "conversation": "conv_ulf_ai_alex"}
    phone, laptop = open_chat(real_server, **who), open_chat(real_server, **who)
    stopped = Event()
    with ThreadPoolExecutor(1) as pool, closing_event(stopped):
        url = f"{real_server.url}/api/stream-ai-message?conversation_id={who['conversation']}"
        answer = pool.submit(httpx2.post, url, content=words(), headers={"Content-Type": "text/plain"})
        for page in (phone, laptop):
            expect(page.locator("[data-sender=ai] .text")).to_contain_text("word2")
            expect(page.get_by_test_id("stop")).to_be_visible()
        laptop.get_by_test_id("stop").click()
        for page in (phone, laptop):
            expect(page.locator("[data-finish=cancelled]")).to_contain_text("Stopped")
            expect(page.get_by_test_id("stop")).to_be_hidden()
        assert answer.result(10).json()["finish"] == "cancelled"
    saved = real_server.get(f"/api/conversations/{who['conversation']}/messages").json()["items"]
    for page in (phone, laptop):
        assert [text.strip() for text in texts(page)] == [saved[0]["data"].strip()]


def test_a_companion_is_stopped_while_it_thinks(tmp_path: Path, open_chat: OpenChat) -> None:
    with running_server(
        tmp_path, ai__responder="demo", ai__typing_delay="[8.0, 8.0]", ai__turn_wait=0.1
    ) as server:
        page = open_chat(server)
        send(page, "Hello!")
        page.get_by_test_id("stop").click()
        expect(page.get_by_test_id("typing")).to_be_hidden()
        expect(page.get_by_test_id("stop")).to_be_hidden()
        expect(page.get_by_test_id("toast")).to_have_count(0)
        expect(page.locator("[data-sender=ai]")).to_have_count(0)


def test_a_companion_whose_model_is_not_there_is_told_in_words(tmp_path: Path, open_chat: OpenChat) -> None:
    with running_server(
        tmp_path,
        ai__responder="openai",
        ai__base_url="http://127.0.0.1:9/v1",
        ai__model="none",
        ai__typing_delay="[0.0, 0.0]",
        ai__turn_wait=0.1,
    ) as server:
        page = open_chat(server)
        send(page, "Hello?")
        expect(page.get_by_test_id("no-answer")).to_contain_text("The next attempt is in", timeout=20_000)


def test_one_device_sees_the_other_type_and_both_see_the_companion(
    real_server: RunningServer, open_chat: OpenChat
) -> None:
    who = {"user": "pia", "conversation": "conv_pia_ai_alex"}
    phone, laptop = open_chat(real_server, **who), open_chat(real_server, **who)
    write(phone, "hm")
    expect(laptop.get_by_test_id("typing")).to_contain_text("another device")
    expect(phone.get_by_test_id("typing")).to_be_hidden()
    send(phone, "hm")
    expect(laptop.get_by_test_id("typing")).to_be_hidden()
    real_server.post("/api/typing", {"conversation_id": who["conversation"], "is_typing": True})
    for page in (phone, laptop):
        expect(page.get_by_test_id("typing")).to_contain_text("Alex is typing")
    real_server.post("/api/typing", {"conversation_id": who["conversation"], "is_typing": False})
    for page in (phone, laptop):
        expect(page.get_by_test_id("typing")).to_be_hidden()


def test_reading_is_told_both_ways(real_server: RunningServer, open_chat: OpenChat) -> None:
    who = {"user": "rob", "conversation": "conv_rob_ai_alex"}
    page = open_chat(real_server, **who)
    send(page, "seen?")
    expect(with_status(page, "seen?", "delivered")).to_be_visible()
    real_server.post("/api/read-receipts", {"conversation_id": who["conversation"], "seq": 1})
    expect(message(page, "seen?").get_by_text("Read", exact=True)).to_be_visible()
    real_server.post("/api/send-ai-message", {"conversation_id": who["conversation"], "message": "yes"})
    expect(message(page, "yes")).to_be_visible()
    end = time.monotonic() + 5
    while real_server.get(f"/api/conversations/{who['conversation']}").json()["unread"]:
        assert time.monotonic() < end


def test_a_companion_that_goes_away_is_shown_so(real_server: RunningServer, open_chat: OpenChat) -> None:
    page = open_chat(real_server, user="sue", conversation="conv_sue_ai_sue_only")
    real_server.post("/api/ai-status", {"ai_id": "ai_sue_only", "status": "away"})
    expect(page.get_by_test_id("ai-status")).to_have_text("Away")


def test_with_sign_in_the_page_wants_a_token_and_goes_on_with_a_new_one(
    tmp_path: Path, open_context: OpenContext
) -> None:
    def token(seconds: float) -> str:
        return "#token=" + jwt.encode({"sub": "kai", "exp": time.time() + seconds}, SECRET, "HS256")

    with running_server(tmp_path, auth__jwt_secret=SECRET, auth__api_keys="operator") as server:
        page = open_context().new_page()
        chat = f"{server.url}/app?user=kai&conversation=conv_kai_ai_alex"
        page.goto(chat)
        state(page, "closed")
        expect(page.get_by_test_id("connection")).to_contain_text(
            "A token is required. This server asks for a sign-in: open this page with #token=…"
        )
        page.goto(chat + token(seconds=2))
        state(page, "open")
        send(page, "signed in")
        expect(with_status(page, "signed in", "delivered")).to_be_visible()
        state(page, "closed")
        expect(page.get_by_test_id("connection")).to_contain_text(re.compile("expired.*#token="))
        page.goto(chat + token(seconds=60))
        state(page, "open")
        page.reload()
        expect(with_status(page, "signed in", "delivered")).to_be_visible()
        page.goto(f"{server.url}/app?user=ben{token(seconds=60)}")
        state(page, "closed")
        expect(page.get_by_test_id("connection")).to_contain_text(
            "The token is another user's. Open this page with a new #token=…"
        )
        page.goto(f"{server.url}/app{token(seconds=60)}")
        expect(with_status(page, "signed in", "delivered")).to_be_visible()
