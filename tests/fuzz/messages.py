"""HTTP/1.1 messages read a second time, by the words of RFC 9112 and none of our code or our parser's: slow, strict,
and plain enough to be believed. What it can't read for certain it doesn't read.
"""

import re
from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]

REQUEST = re.compile(rb"([A-Z-]+) +([!-~]+) +HTTP/(1\.[01])\Z")
STATUS = re.compile(rb"HTTP/(1\.[01]) ([0-9]{3})(?: [^\r\n]*)?\Z")  # 4: a client ignores what the reason says
HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0\r\n]*?)[ \t]*\Z")
LENGTH = re.compile(rb"[0-9]{1,19}\Z")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,64})(?:[ \t]*;[^\r\n\0]*)?\Z")
LENGTH_MAX = 2**63


class Unclear(Exception):
    """Not whole, or not to be read with certainty."""


class Request(NamedTuple):
    method: bytes
    target: bytes
    headers: Headers
    body: bytes


class Answer(NamedTuple):
    """`rest` is what stands behind it; None where its body lasts until the connection ends."""

    status: int
    headers: Headers
    body: bytes
    rest: bytes | None


def requests(stream: bytes) -> list[Request]:
    """Those that came whole, up to the first that is unclear."""
    found: list[Request] = []
    at = 0
    try:
        while True:
            while at < len(stream) and stream[at] in b"\r\n":  # 2.2: blank lines before a request mean nothing
                at += 1
            line, at = _line(stream, at)
            start = REQUEST.match(line)
            if start is None:
                raise Unclear
            headers, at = _headers(stream, at)
            size = _framing(headers, modern=start[3] == b"1.1")
            body, at = _sized(stream, at, size or 0) if size != CHUNKED else _chunked(stream, at)
            found.append(Request(start[1], start[2], headers, body))
    except Unclear:
        return found


def answer(stream: bytes, *, ended: bool) -> Answer:
    """The first final one. `ended`: the connection was closed in order behind it. Raises Unclear."""
    at = 0
    while True:
        line, at = _line(stream, at)
        start = STATUS.match(line)
        if start is None:
            raise Unclear
        headers, at = _headers(stream, at)
        status = int(start[2])
        if status >= 200:
            break
        if status == 101 or status < 100:
            raise Unclear
        while at < len(stream) and stream[at] in b"\r\n":  # harmless behind an interim answer, which has no body
            at += 1
    if status in (204, 304):
        return Answer(status, headers, b"", stream[at:])
    size = _framing(headers, modern=True)
    if size is None:
        if not ended:
            raise Unclear
        return Answer(status, headers, stream[at:], None)
    body, at = _sized(stream, at, size) if size != CHUNKED else _chunked(stream, at)
    return Answer(status, headers, body, stream[at:])


CHUNKED = -1


def _framing(headers: Headers, *, modern: bool) -> int | None:
    """How long the body is, CHUNKED, or None where nothing says so."""
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    lengths = [value for name, value in headers if name == b"content-length"]
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != b"chunked" or not modern:
            raise Unclear
        return CHUNKED
    if not lengths:
        return None
    if len(lengths) > 1 or not LENGTH.match(lengths[0]) or int(lengths[0]) >= LENGTH_MAX:
        raise Unclear
    return int(lengths[0])


def _line(stream: bytes, at: int) -> tuple[bytes, int]:
    end = stream.find(b"\r\n", at)
    if end < 0:
        raise Unclear
    return stream[at:end], end + 2


def _headers(stream: bytes, at: int) -> tuple[Headers, int]:
    headers: Headers = []
    while True:
        line, at = _line(stream, at)
        if not line:
            return headers, at
        header = HEADER.match(line)
        if header is None:
            raise Unclear
        headers.append((header[1].lower(), header[2]))


def _sized(stream: bytes, at: int, size: int) -> tuple[bytes, int]:
    if len(stream) - at < size:
        raise Unclear
    return stream[at : at + size], at + size


def _chunked(stream: bytes, at: int) -> tuple[bytes, int]:
    body = b""
    while True:
        line, at = _line(stream, at)
        chunk = CHUNK.match(line)
        if chunk is None:
            raise Unclear
        size = int(chunk[1], 16)
        if size == 0:
            _, at = _headers(stream, at)
            return body, at
        piece, at = _sized(stream, at, size)
        if stream[at : at + 2] != b"\r\n":
            raise Unclear
        body, at = body + piece, at + 2
