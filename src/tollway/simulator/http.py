"""HTTP/1.1 as bytes: a request as it came, the head of an answer, the chunked coding. No sockets."""

from email.utils import formatdate
from http import HTTPStatus

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
HTML = b"text/html; charset=utf-8"

LAST_CHUNK = b"0\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
INTERIM = CONTINUE + b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\n\r\n"

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}


class HttpMessage:
    """A request while and after it is read: names and values as they were sent."""

    __slots__ = ("body", "headers", "keep_alive", "method", "modern", "simulate", "target")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.simulate = b""  # the value of x-simulate
        self.keep_alive = True
        self.modern = True  # HTTP/1.1: may be answered in chunks


class Dates:
    """The Date header line, made once a second (RFC 9110, 6.6.1)."""

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self, second: int) -> bytes:
        if second != self._second:
            self._second = second
            self._line = f"date: {formatdate(second, usegmt=True)}\r\n".encode()
        return self._line


def head(status: int, date: bytes, content_type: bytes, length: int | None, extra: bytes = b"") -> bytes:
    """A complete head. `length` None leaves the framing to `extra`, which is complete header lines."""
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d Simulated\r\n" % status
    if length is None:
        return b"%b%bcontent-type: %b\r\n%b\r\n" % (line, date, content_type, extra)
    return b"%b%bcontent-type: %b\r\ncontent-length: %d\r\n%b\r\n" % (line, date, content_type, length, extra)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def unframed(data: bytes) -> bytes:
    """For a body that ends with the connection."""
    return data
