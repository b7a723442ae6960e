"""What the tests of a transport to providers say and hear: requests, answers byte by byte, certificates."""

import ssl
from dataclasses import dataclass

import trustme

from helpers.raw_server import Connection
from tollway.domain.seams import HttpRequest, HttpResponse, Transport

READ_BYTES_MAX = 256 << 10

OK = b"HTTP/1.1 200 OK\r\n"
HELLO = OK + b"content-length: 5\r\n\r\nhello"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def post(url: str, body: bytes = b"{}", *, method: str = "POST", connect_timeout: float = 10.0) -> HttpRequest:
    headers = (("content-type", "application/json"), ("authorization", "Bearer k"))
    return HttpRequest(method=method, url=url, headers=headers, body=body, connect_timeout=connect_timeout)


async def read_all(response: HttpResponse) -> bytes:
    data = b""
    while piece := await response.read():
        assert len(piece) <= READ_BYTES_MAX
        data += piece
    return data


async def fetch(transport: Transport, request: HttpRequest) -> bytes:
    response = await transport.send(request)
    try:
        return await read_all(response)
    finally:
        response.close()


@dataclass
class Play:
    """A script: answers every request of a connection with the same bytes, then perhaps ends the connection."""

    answer: bytes
    then: str = "keep"  # or "close", "reset"

    async def __call__(self, connection: Connection) -> None:
        while await connection.request():
            await connection.send(self.answer)
            if self.then == "close":
                return
            if self.then == "reset":
                connection.reset()
                return


def server_side(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
