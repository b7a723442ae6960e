"""A connection whose answer was there before its request had left."""

import asyncio
import socket

import pytest

from tollway.domain.outbox import Outbox
from tollway.upstream.http1.connection import Connection
from tollway.upstream.http1.rounds import Rounds

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


@pytest.mark.parametrize("left", [False, True])
async def test_only_a_connection_whose_request_has_left_serves_another(left: bool) -> None:
    loop = asyncio.get_running_loop()
    outbox = Outbox(loop)
    free: list[Connection] = []
    lost: list[Connection] = []
    ours, theirs = socket.socketpair()
    connection = Connection(loop, free.append, lost.append, Rounds(loop), outbox)
    ours.setblocking(False)
    await loop.create_connection(lambda: connection, sock=ours)
    with theirs:
        response = connection.send(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", b"{}", bodyless=False)
        if left:
            await asyncio.sleep(0)
            assert theirs.recv(100) == b"POST / HTTP/1.1\r\nhost: x\r\n\r\n{}"
        connection.data_received(ANSWER)
        assert await response.read() == b"hi"
        assert bool(free) is left
        connection.drop()
        await asyncio.sleep(0.01)
        assert lost == [connection]
        if not left:
            assert theirs.recv(100) == b""  # and it is not sent any more
