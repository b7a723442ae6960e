"""A request's head as bytes, and where it goes. Pure.

What a head may carry is decided here, so that no configured URL or header can end a line, or a request, early.
"""

import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from tollway.domain.proxies import Proxy
from tollway.domain.seams import HttpRequest

# RFC 9110, 5.1, 5.5 and 9.1: tokens; visible characters with spaces and tabs between them.
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"(?:[!-~](?:[\t -~]*[!-~])?)?\Z")
_NOT_IN_URLS = re.compile(r"[\0-\x20\x7f]")
_AS_IT_IS = "".join(chr(code) for code in range(0x21, 0x7F))

# They frame the message, or are the connection's.
_OWN = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """Where connections lead that may serve the same requests. Plain HTTP through a proxy leads to the proxy alone."""

    host: str
    port: int
    tls: bool  # to the host, within what leads there
    proxy: Proxy | None


class Prepared(NamedTuple):
    """`head` lacks the length of the body, and the end."""

    place: Place
    head: bytes
    has_length: bool  # also of an empty body
    bodyless: bool  # the answer has none

    def with_length(self, length: int) -> bytes:
        if length or self.has_length:
            return b"%scontent-length: %d\r\n\r\n" % (self.head, length)
        return self.head + b"\r\n"


def prepare(request: HttpRequest, proxy_for: Callable[[str, str, int], Proxy | None]) -> Prepared:
    """`proxy_for` knows the proxy by scheme, host and port. Raises ValueError, without a header's value, for what can't
    be sent."""
    if _NOT_IN_URLS.search(request.url):
        raise ValueError("a URL with a space or a control character")
    parts = urlsplit(request.url)
    if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("a URL that is not http:// or https://, a host, and no user")
    if not _TOKEN.match(request.method) or request.method == "CONNECT":
        raise ValueError("a method that can't be sent")
    host = ascii_host(parts.hostname)
    port = parts.port or _PORTS[parts.scheme]
    proxy = proxy_for(parts.scheme, host, port)
    authority = bracketed(host) if port == _PORTS[parts.scheme] else f"{bracketed(host)}:{port}"
    target = quote(parts.path or "/", safe=_AS_IT_IS) + (
        f"?{quote(parts.query, safe=_AS_IT_IS)}" if parts.query else ""
    )
    headers = [("host", authority), *request.headers]
    place = Place(host, port, parts.scheme == "https", proxy)
    if proxy is not None and parts.scheme == "http":
        target = f"http://{authority}{target}"
        place = Place(proxy.host, proxy.port, proxy.tls, None)
        if proxy.authorization is not None:
            headers.append(("proxy-authorization", proxy.authorization))
    for name, value in request.headers:
        if not _TOKEN.match(name) or name.lower() in _OWN or not _VALUE.match(value):
            raise ValueError(f"header {name!r} can't be sent")
    lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), ""]
    return Prepared(place, "\r\n".join(lines).encode("ascii"), request.method in _WITH_BODY, request.method == "HEAD")


def ascii_host(host: str) -> str:
    """As DNS and TLS take it (IDNA). Raises ValueError."""
    return host if host.isascii() and len(host) <= 63 else host.encode("idna").decode("ascii")


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
