"""What every HTTP transport to providers promises of an answer that has come whole before it is read."""

import asyncio

import pytest

from helpers.raw_server import Connection, RawServer
from helpers.transports import CHUNKED, HELLO, OK, Play, post
from helpers.until import until
from tollway.domain.errors import ProviderFault
from tollway.domain.seams import Transport


async def test_what_has_come_to_its_end_is_given_at_once_and_once(transport: Transport) -> None:
    async with RawServer(Play(HELLO, "keep")) as server:
        response = await transport.send(post(server.url))
        given: list[bytes | None] = []
        await until(lambda: given.append(response.whole()) or given[-1] is not None)
        assert given[-1] == b"hello"
        assert response.whole() == await response.read() == b""
        response.close()


async def test_what_has_not_come_to_its_end_is_left_to_be_read(transport: Transport) -> None:
    turns: asyncio.Queue[bytes] = asyncio.Queue()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.send(CHUNKED)
        for _ in range(2):
            await connection.send(await turns.get())

    async with RawServer(script) as server:
        response = await transport.send(post(server.url))
        assert response.whole() is None
        turns.put_nowait(b"3\r\nhel\r\n")
        assert await response.read() == b"hel"
        turns.put_nowait(b"2\r\nlo\r\n0\r\n\r\n")
        assert response.whole() is None
        assert await response.read() == b"lo"
        assert await response.read() == response.whole() == b""
        response.close()


async def test_what_broke_off_is_not_whole(transport: Transport) -> None:
    async with RawServer(Play(OK + b"content-length: 6\r\n\r\nhello", "close")) as server:
        response = await transport.send(post(server.url))
        assert await response.read() == b"hello"
        with pytest.raises(ProviderFault):
            await response.read()
        assert response.whole() is None
        response.close()


async def test_headers_are_found_by_name(transport: Transport) -> None:
    async with RawServer(Play(OK + b"X-A:  1 \r\ncontent-length: 0\r\n\r\n")) as server:
        response = await transport.send(post(server.url))
        response.close()
    assert len(response.headers) == 2 and set(response.headers) == {"x-a", "content-length"}
    assert response.headers["x-a"] == "1" and "x-a" in response.headers
    assert "x-b" not in response.headers and response.headers.get("x-b") is None
