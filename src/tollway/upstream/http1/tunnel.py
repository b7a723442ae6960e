"""A way through a proxy: CONNECT (RFC 9110, 9.3.6), and its answer, after which the connection is the other side's.

It must not know what goes through.
"""

import asyncio
import re
from http import HTTPStatus

from tollway.domain.proxies import Proxy
from tollway.upstream.http1.request import bracketed

HEAD_BYTES_MAX = 16 << 10  # of a proxy's answer

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [\t -~]*)?\r\n")
_PHRASES = {status.value: f" {status.phrase}" for status in HTTPStatus}  # a proxy's own might say what it was told


class ProxyRefused(OSError):
    """The proxy doesn't lead there."""


class Tunnel(asyncio.Protocol):
    """The protocol of a connection to a proxy until it leads further. Raises ProxyRefused."""

    def __init__(self, loop: asyncio.AbstractEventLoop, proxy: Proxy, host: str, port: int) -> None:
        self._opened: asyncio.Future[None] = loop.create_future()
        authority = f"{bracketed(host)}:{port}"
        lines = [f"CONNECT {authority} HTTP/1.1", f"host: {authority}"]
        if proxy.authorization is not None:
            lines.append(f"proxy-authorization: {proxy.authorization}")
        self._request = "\r\n".join([*lines, "", ""]).encode("ascii")
        self._answer = b""
        self._heard = 0  # bytes

    async def open(self, transport: asyncio.Transport) -> None:
        transport.write(self._request)
        await self._opened

    def data_received(self, data: bytes) -> None:
        self._heard += len(data)
        if self._heard > HEAD_BYTES_MAX:
            self._fail("the proxy's answer is too long")
            return
        self._answer += data
        while b"\r\n\r\n" in self._answer and not self._opened.done():
            head, _, self._answer = self._answer.partition(b"\r\n\r\n")
            self._read(head + b"\r\n")

    def _read(self, head: bytes) -> None:
        status = _STATUS.match(head)
        if status is None or status[1] == b"101":
            self._fail("the proxy's answer is no HTTP")
        elif status[1][:1] == b"2":
            if self._answer:  # TLS is begun by us: nobody there speaks first
                self._fail("the proxy said more than its answer")
            else:
                self._opened.set_result(None)
        elif status[1][:1] != b"1":
            self._fail(f"the proxy refuses: {status[1].decode()}{_PHRASES.get(int(status[1]), '')}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("the proxy closed the connection")

    def _fail(self, why: str) -> None:
        if not self._opened.done():
            self._opened.set_exception(ProxyRefused(why))
