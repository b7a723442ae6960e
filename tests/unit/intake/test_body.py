"""Reading a body: content type, encoding and length, from the raw ASGI channel."""

import asyncio
from collections.abc import Iterable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from tollway.domain.errors import ClientGone, Overloaded, RequestError, RequestTooLarge, UnsupportedMediaType
from tollway.intake.body import Bodies, Receive, read_body
from tollway.intake.limits import BYTES_PER_S_MIN

JSON = (b"content-type", b"application/json")
SLOW_SENDER_S = 30.0


def channel(*pieces: bytes, gone: bool = False) -> Receive:
    """An ASGI receive that gives `pieces`, then the client's leaving or the end. Reading on is an error."""
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if gone:
        messages.append({"type": "http.disconnect"})
    else:
        messages[-1]["more_body"] = False
    rest = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(rest)

    return receive


async def unread() -> dict[str, Any]:
    raise AssertionError("the body was read")


class Patience:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.given: list[float] = []

    def extend(self, seconds: float) -> None:
        self.given.append(seconds)


async def read_from(
    receive: Receive,
    headers: Iterable[tuple[bytes, bytes]] = (JSON,),
    limit: int = 10,
    patience: Patience | None = None,
) -> bytes:
    bodies = Bodies()
    try:
        with closing(bodies.room(1_000_000)) as room:
            return await read_body(receive, dict(headers), room, limit, patience or Patience(), SLOW_SENDER_S)
    finally:
        assert bodies.held == 0


async def read(*pieces: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON,), limit: int = 10) -> bytes:
    return await read_from(channel(*pieces), headers, limit)


async def test_a_body_that_came_in_one_piece_is_not_copied() -> None:
    body = b'{"a": 1}'
    assert await read(body) is body


async def test_a_body_in_pieces_is_put_together() -> None:
    assert await read(b"{", b'"a"', b"", b":1}") == b'{"a":1}'


async def test_bodies_of_all_calls_share_one_limit_until_each_call_is_over() -> None:
    bodies = Bodies()
    more, over = asyncio.Event(), asyncio.Event()

    async def waits() -> dict[str, Any]:
        if bodies.held:
            await more.wait()
        return {"type": "http.request", "body": b"1234", "more_body": not more.is_set()}

    async def arrive(receive: Receive) -> bytes:
        with closing(bodies.room(10)) as room:
            return await read_body(receive, dict([JSON]), room, 20, Patience(), SLOW_SENDER_S)

    async def lasts() -> None:
        with closing(bodies.room(10)) as room:
            await read_body(waits, dict([JSON]), room, 20, Patience(), SLOW_SENDER_S)
            await over.wait()

    first = asyncio.create_task(lasts())
    await asyncio.sleep(0)
    assert bodies.held == 4
    with pytest.raises(Overloaded):
        await arrive(channel(b"1234", b"567"))
    assert await arrive(channel(b"12345678901234567890")) == b"12345678901234567890"  # in one piece
    assert await arrive(channel(b"1234", b"56")) == b"123456"
    more.set()
    await asyncio.sleep(0)
    assert bodies.held == 8
    with pytest.raises(Overloaded):
        await arrive(channel(b"12", b"3"))
    over.set()
    await first
    assert bodies.held == 0


async def test_a_sender_that_is_given_up_gives_back_its_room() -> None:
    bodies = Bodies()
    for last in (channel(b"1234", gone=True), channel(b"1234", b"5" * 20)):
        with pytest.raises((ClientGone, RequestTooLarge)), closing(bodies.room(100)) as room:
            await read_body(last, dict([JSON]), room, 20, Patience(), SLOW_SENDER_S)
        assert bodies.held == 0


async def test_a_message_without_a_body_is_an_empty_piece() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    assert await read_from(receive, [JSON], 10) == b""


@pytest.mark.parametrize(
    "value", [b"application/json", b"application/json; charset=utf-8", b"Application/JSON ;x=y", b" application/json"]
)
async def test_the_content_type_is_json_with_any_parameters(value: bytes) -> None:
    assert await read(b"{}", headers=[(b"content-type", value)]) == b"{}"


@pytest.mark.parametrize(
    "value", [b"text/plain", b"application/jsonl", b"application/x-www-form-urlencoded", b"", b";"]
)
async def test_any_other_content_type_is_unsupported(value: bytes) -> None:
    with pytest.raises(UnsupportedMediaType, match="content-type: application/json"):
        await read_from(unread, [(b"content-type", value)], 10)


async def test_a_missing_content_type_is_unsupported() -> None:
    with pytest.raises(UnsupportedMediaType):
        await read_from(unread, [(b"host", b"x")], 10)


@pytest.mark.parametrize("value", [b"gzip", b"br", b"identity, gzip", b""])
async def test_a_compressed_body_is_unsupported(value: bytes) -> None:
    with pytest.raises(UnsupportedMediaType, match="content-encoding"):
        await read_from(unread, [JSON, (b"content-encoding", value)], 10)


async def test_the_identity_encoding_is_no_encoding() -> None:
    assert await read(b"{}", headers=[JSON, (b"content-encoding", b"Identity")]) == b"{}"


@pytest.mark.parametrize("value", [b"11", b"9" * 18, b"9" * 5_000])
async def test_a_declared_length_over_the_limit_is_refused_before_reading(value: bytes) -> None:
    with pytest.raises(RequestTooLarge, match="at most 10 bytes"):
        await read_from(unread, [JSON, (b"content-length", value)], 10)


async def test_a_declared_length_up_to_the_limit_is_read() -> None:
    assert await read(b"0123456789", headers=[(b"content-length", b"10"), JSON]) == b"0123456789"


@pytest.mark.parametrize("value", [b"-1", b"+1", b"1.0", b"ten", b"", b"1 1"])
async def test_a_declared_length_that_is_no_number_is_a_bad_request(value: bytes) -> None:
    with pytest.raises(RequestError, match="content-length") as refused:
        await read_from(unread, [JSON, (b"content-length", value)], 10)
    assert refused.value.status == 400


async def test_one_piece_over_the_limit_is_too_large() -> None:
    with pytest.raises(RequestTooLarge):
        await read(b"01234567890")


async def test_pieces_are_refused_as_soon_as_their_sum_is_over_the_limit() -> None:
    with pytest.raises(RequestTooLarge):
        await read_from(channel(b"01234567", b"89", b"0", gone=True), [JSON], 10)


@pytest.mark.parametrize("pieces", [(), (b"{",), (b"{", b'"a"')])
async def test_a_client_that_leaves_while_sending_is_gone(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(ClientGone):
        await read_from(channel(*pieces, gone=True), [JSON], 10)


# --- how long it may take


async def test_a_body_that_came_in_one_piece_asks_for_no_more_time() -> None:
    patience = Patience()
    await read_from(channel(b"{}"), patience=patience)
    assert patience.given == []


async def test_what_has_come_of_a_body_buys_time_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 101.0, 102.0, 103.0])  # when it began, and when each piece had come
    monkeypatch.setattr("tollway.intake.body.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    patience = Patience()
    piece = b"x" * BYTES_PER_S_MIN
    await read_from(channel(piece, piece, piece, b""), limit=1_000_000, patience=patience)
    assert patience.given == [SLOW_SENDER_S - 1 + 1, SLOW_SENDER_S - 2 + 2, SLOW_SENDER_S - 3 + 3]


async def test_a_body_that_drips_runs_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.0, 1.0, 20.0, 31.0])
    monkeypatch.setattr("tollway.intake.body.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    patience = Patience()
    await read_from(channel(b"x", b"x", b"x", b"x"), patience=patience)
    assert [round(given, 3) for given in patience.given] == [29.0, 10.0, -1.0]
