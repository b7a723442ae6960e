"""What a request's head has to be beyond what the parser sees to, so that nobody on its way can have read it as another
request than we do (RFC 9112). Pure: it knows header lines, not connections.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

import httptools

Header = tuple[bytes, bytes]  # a name in lower case, a value without blanks around it

VERSIONS = ("1.1", "1.0")

# RFC 3986's host, or an IP address in brackets, and a port; empty where a target has none (RFC 9112, 3.2).
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]*)(?::[0-9]*)?\Z")


class Target(NamedTuple):
    """What a request asks for, as it came and as ASGI has it."""

    url: bytes
    path: str
    raw_path: bytes
    query: bytes

    @classmethod
    def of(cls, url: bytes) -> "Target":
        parts = httptools.parse_url(url)
        path = parts.path.decode("ascii")
        return cls(url, unquote(path) if "%" in path else path, parts.path, parts.query or b"")


def complaint(version: str, target: bytes, headers: Sequence[Header], by_name: Mapping[bytes, bytes]) -> str | None:
    """What is wrong with a head, as a sentence for its sender; None when all is well. `by_name` has the last header of
    each name."""
    if version not in VERSIONS:
        return "This router speaks HTTP/1.1 and HTTP/1.0."
    if b"#" in target:
        return "A request's target has no fragment (#)."
    host = by_name.get(b"host")
    if host is not None and not _HOST.match(host):
        return "The Host header is no host with an optional port."
    if b"transfer-encoding" in by_name:
        for name, value in headers:
            # RFC 9112, 6.1: who predates chunks can't mean them; another coding would have to be undone, and isn't.
            if name == b"transfer-encoding" and (version == "1.0" or value.lower() != b"chunked"):
                return "A body is sent with a content-length, or over HTTP/1.1 with transfer-encoding: chunked."
    if host is None:
        one = version == "1.0"  # which didn't ask for it
    else:
        one = len(by_name) == len(headers) or [name for name, _ in headers].count(b"host") == 1
    return None if one else "A request has exactly one Host header."


def expects_continue(headers: Sequence[Header]) -> bool:
    """Whether its sender waits for a 100 before the body (RFC 9110, 10.1.1)."""
    return any(name == b"expect" and value.lower() == b"100-continue" for name, value in headers)


def framing(headers: Sequence[Header]) -> bytes:
    """The head of a request whose body is framed as the body behind `headers` is, and which says nothing else."""
    lines = [b"%b: %b\r\n" % header for header in headers if header[0] in (b"content-length", b"transfer-encoding")]
    return b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(lines)
