import asyncio

import pytest

from server.transport.limits import Limits
from tests.support.asynchronous import on_uvloop
from tests.support.echo_server import echo_server
from tests.support.wire import ACCEPT, TEXT, client_frame, upgrade_request, wire

LIMITS = Limits(max_message_size=65536)
HURRIED = Limits(max_message_size=65536, head_seconds=0.3, linger_seconds=0.3)
GET = b"GET /body HTTP/1.1\r\nhost: x\r\n\r\n"


def post(body: bytes, *headers: str) -> bytes:
    lines = ["POST /body HTTP/1.1", "host: x", f"content-length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def headers(count: int, size: int = 1) -> str:
    return "".join(f"x-{n}: {'y' * size}\r\n" for n in range(count))


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(headers(101), id="too many"),
        pytest.param(headers(1, 17_000), id="one too long"),
        pytest.param(headers(40, 500), id="too much together"),
        pytest.param("x-endless: " + "y" * 2_000_000, id="one without an end"),
        pytest.param("y" * 2_000_000, id="a name without an end"),
    ],
)
@pytest.mark.parametrize("start", ["GET /body HTTP/1.1\r\n", upgrade_request("/echo").decode()[:-2]])
@on_uvloop
async def test_a_flood_of_headers_is_answered_431(start: str, flood: str) -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(f"{start}{flood}\r\n\r\n".encode())

        status, _, _ = await it.http_answer()

        assert status == 431
        assert await it.end() == b""


@on_uvloop
async def test_a_flood_of_trailers_is_cut_off() -> None:
    async with echo_server(HURRIED) as server, wire(server.port) as it:
        it.send(b"POST /body HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
        it.send(b"x-endless: " + b"y" * 2_000_000)

        assert (await it.http_answer())[0] == 431


@on_uvloop
async def test_a_request_line_without_an_end_is_answered_431() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(b"GET /" + b"y" * 2_000_000)

        assert (await it.http_answer())[0] == 431


@on_uvloop
async def test_as_many_headers_as_allowed_are_served() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(f"GET /body HTTP/1.1\r\n{headers(100, 100)}\r\n".encode())

        assert (await it.http_answer())[0] == 200


@pytest.mark.parametrize("start", [b"", b"GET /echo HTTP/1.1\r\nupgrade: web"])
@on_uvloop
async def test_a_handshake_that_does_not_come_in_time_is_answered_408(start: bytes) -> None:
    async with echo_server(HURRIED) as server, wire(server.port) as it:
        it.send(start)

        assert (await it.http_answer())[0] == 408
        assert await it.end() == b""


@on_uvloop
async def test_a_trickle_of_bytes_does_not_buy_a_handshake_time() -> None:
    async with echo_server(HURRIED) as server, wire(server.port) as it:
        answer = asyncio.create_task(it.http_answer())
        it.send(b"GET /echo HTTP/1.1\r\nx-slow: ")
        while not answer.done():
            it.send(b"y")
            await asyncio.sleep(0.02)

        assert (await answer)[0] == 408


@on_uvloop
async def test_the_second_request_of_a_connection_has_to_come_in_time_too() -> None:
    async with echo_server(HURRIED) as server, wire(server.port) as it:
        it.send(GET)
        first, _, _ = await it.http_answer()
        it.send(GET[:10])

        assert (first, (await it.http_answer())[0]) == (200, 408)


@on_uvloop
async def test_a_refused_peer_that_goes_on_is_cut() -> None:
    async with echo_server(HURRIED) as server, wire(server.port) as it:
        it.send(b"nonsense\r\n\r\n")
        assert (await it.http_answer())[0] == 400

        with pytest.raises(ConnectionError):
            while True:
                it.send(b"more\r\n")
                await it.writer.drain()
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("size", [0, 100, 40_000, 1_000_000])
@on_uvloop
async def test_the_size_of_a_body_is_not_taken_for_that_of_its_headers(size: int) -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        for _ in range(2):  # on one connection
            it.send(post(b"x" * size))

            status, _, body = await it.http_answer()

            assert (status, body) == (200, str(size).encode())


@on_uvloop
async def test_pipelined_requests_are_answered_in_order() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(post(b"x") + GET + post(b"xx") + post(b"x" * 50_000))

        assert [(await it.http_answer())[2] for _ in range(4)] == [b"1", b"0", b"2", b"50000"]


@on_uvloop
async def test_a_head_request_has_no_body_and_the_connection_goes_on() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(GET.replace(b"GET", b"HEAD"))
        head = await it.reader.readuntil(b"\r\n\r\n")
        it.send(GET)

        assert head.startswith(b"HTTP/1.1 200 ")
        assert (await it.http_answer())[2] == b"0"


@on_uvloop
async def test_a_client_that_waits_for_100_continue_is_told_to_go_on() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        head, _, body = post(b"xyz", "expect: 100-continue").partition(b"xyz")[:3]
        it.send(head)
        assert (await it.http_answer())[0] == 100

        it.send(b"xyz" + body)

        assert (await it.http_answer())[2] == b"3"


@pytest.mark.parametrize("request_line", [b"nonsense", b"GET /caf\xe9 HTTP/1.1", b"GET /body HTTP/9"])
@on_uvloop
async def test_a_malformed_request_is_answered_400(request_line: bytes) -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(request_line + b"\r\nhost: x\r\n\r\n")

        assert (await it.http_answer())[0] == 400
        assert await it.end() == b""


@on_uvloop
async def test_an_upgrade_to_anything_but_a_websocket_is_ignored() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(GET.replace(b"host: x", b"connection: upgrade\r\nupgrade: h2c") * 2 + GET)

        assert [(await it.http_answer())[0] for _ in range(3)] == [200, 200, 200]


@on_uvloop
async def test_a_websocket_may_follow_requests_on_their_connection() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(GET)
        await it.http_answer()
        it.send(upgrade_request("/echo") + client_frame(TEXT, b"sent with the handshake"))

        status, answered, _ = await it.http_answer()

        assert (status, answered["sec-websocket-accept"]) == (101, ACCEPT)
        assert await it.frame() == (TEXT, b"sent with the handshake")


@on_uvloop
async def test_a_websocket_asked_for_ahead_of_an_answer_is_refused() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(GET + upgrade_request("/echo"))

        assert (await it.http_answer())[0] == 400
        assert await it.end() == b""


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_version": None}, 426),
        ({"sec_websocket_key": None}, 400),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": "not base64: =========="}, 400),
        ({"sec_websocket_key": "dG9vIHNob3J0"}, 400),
    ],
)
@on_uvloop
async def test_a_bad_websocket_handshake_is_refused(changes: dict[str, str | None], status: int) -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(upgrade_request("/echo", **changes))

        answer = await it.http_answer()

        assert answer[0] == status
        assert (answer[1].get("sec-websocket-version") == "13") == (status == 426)
        assert await it.end() == b""


@on_uvloop
async def test_a_websocket_is_asked_for_by_get() -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(upgrade_request("/echo").replace(b"GET", b"POST", 1))

        assert (await it.http_answer())[0] == 405


@pytest.mark.parametrize(("path", "status"), [("/unknown", 404), ("/body", 404), ("/broken", 500)])
@on_uvloop
async def test_an_endpoint_that_does_not_answer_refuses_the_handshake(path: str, status: int) -> None:
    async with echo_server(LIMITS) as server, wire(server.port) as it:
        it.send(upgrade_request(path))

        assert (await it.http_answer())[0] == status
        assert await it.end() == b""
