"""How a server is reached from here: through which proxy, and whose certificates are believed."""

import re
import ssl
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

_HTTP_SCHEMES = {"ws": "http", "wss": "https"}


class NetworkMisconfigured(ValueError):
    """The environment names a proxy or certificates that cannot be used; the text says which."""


def is_loopback(url: str) -> bool:
    """Tell whether the server is on this machine, to which a company's proxy does not know the way."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def proxy_for(url: str) -> str | None:
    """Return the environment's proxy for a server (http, https, ws or wss), None where none is needed.

    Raises NetworkMisconfigured for one of a kind that is not spoken here, such as SOCKS.
    """
    parts, proxies = urlsplit(url), getproxies()
    scheme = _HTTP_SCHEMES.get(parts.scheme, parts.scheme)
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or is_loopback(url) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not _is_http(proxy):
        shown = re.sub("//.*@", "//", proxy)  # without its password
        raise NetworkMisconfigured(
            f"the environment's proxy {shown} cannot be used: only http:// and https:// proxies can;"
            f" NO_PROXY={parts.hostname} goes without"
        )
    return proxy


def certificates() -> ssl.SSLContext:
    """Return what TLS connections believe: SSL_CERT_FILE or SSL_CERT_DIR, else the system's certificates.

    Raises NetworkMisconfigured where those that the environment names cannot be read.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        why = error.strerror or str(error)
        raise NetworkMisconfigured(f"the certificates of SSL_CERT_FILE cannot be read: {why}") from None


def http_options(url: str, *, proxy: str | None) -> dict[str, Any]:
    """Return the arguments that every HTTP client here is made with. Raises NetworkMisconfigured."""
    return {"base_url": url, "proxy": proxy, "verify": certificates(), "trust_env": False}


def _is_http(proxy: str) -> bool:
    try:
        parts = urlsplit(proxy)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
