"""The HTTP answer to a request that does not get as far as the application."""

from http import HTTPStatus


def http_refusal(status: HTTPStatus, text: str, headers: bytes = b"") -> bytes:
    """A whole response, the last of its connection; `headers` end in CRLF each."""
    body = text.encode()
    return (
        b"HTTP/1.1 %d %b\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n"
        b"%bconnection: close\r\n\r\n%b" % (status, status.phrase.encode(), len(body), headers, body)
    )
