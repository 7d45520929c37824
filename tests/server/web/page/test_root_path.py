"""The page below a path, as a proxy may offer it."""

from pathlib import Path

from playwright.sync_api import expect

from tests.server.web.page.acting import send, with_status
from tests.server.web.page.conftest import OpenContext
from tests.support.server import running_server


def test_the_page_works_below_the_path_that_a_proxy_offers_it_under(
    tmp_path: Path, open_context: OpenContext
) -> None:
    with running_server(tmp_path, server__root_path="/chat") as server:
        page = open_context().new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url.replace("ws:", "http:")))
        page.goto(f"{server.url}/chat/app?user=kai&conversation=conv_kai_ai_alex")
        send(page, "from below")
        expect(with_status(page, "from below", "delivered")).to_be_visible()
        page.reload()
        expect(with_status(page, "from below", "delivered")).to_be_visible()
        link = page.locator("[data-conversation-id=conv_kai_ai_alex]").first
        expect(link).to_be_attached()
        assert page.url.startswith(f"{server.url}/chat/app?")
        assert {url for url in asked if not url.startswith(f"{server.url}/chat/")} == set()
