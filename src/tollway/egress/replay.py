"""The answer of a call that came with an Idempotency-Key: kept while it is made, and given again as it was.

Knows what an answer is made of. Whose the key is, and which call holds it, is the ledger's affair.

What is kept is what the ending is made from, not the ending: what the call was charged and what is left of the balance
are decided in the very commit that keeps the answer. Both are in the books, so the same bytes come of it again.
"""

import asyncio
import zlib
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from tollway.domain.answer import Answer, Reading
from tollway.domain.call import Call
from tollway.domain.claims import Claim, Kept
from tollway.domain.commands import Claimed, Posted, StoredAnswer
from tollway.domain.errors import IdempotencyConflict, IdempotencyInFlight, IdempotentAnswerTooLarge
from tollway.domain.plan import Plan
from tollway.domain.record import CallRecord
from tollway.domain.usage import Generated
from tollway.domain.waiting import Interrupted, Limit, Stop, Watch
from tollway.egress import endings, stream
from tollway.egress.reply import Header, Reply
from tollway.wire import json

T = TypeVar("T")

ANSWER_BYTES_MAX = 1_000_000  # of an answer that is kept: the books grow by as much, and a call holds it in memory
OFF_THE_LOOP_BYTES = 32_000  # packing more than this takes long enough (1 ms) to be done in a thread
LEVEL = 1  # of zlib: a stream of short events comes to a fortieth, at 2 ms a megabyte
PIECE_BYTES = 64 << 10  # what a slow reader is given at a time, so that its limit is for a piece, not for all
SECONDS_MAX = 300.0  # for one that is given again, to a client that reads as slowly as it may
RETRY_AFTER_MS = 1_000  # what a repeat is told while the call is in flight: most take longer, and asking is cheap


class _Basis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the additions to an answer are made from, beside its record and its charge."""

    usage: bytes | None = None  # the provider's raw object
    first: bytes = b""  # the first event of a stream that has an id
    cap: int | None = None  # tollway.max_tokens_applied


class Keeper:
    """Collects the answer of one call. Of a stream it takes what the client is sent, and goes on taking when the client
    has left or reads too slowly: to the call it is the client, and one that never leaves."""

    def __init__(self, claim: Claim, reply: Reply, watch: Watch, room: int) -> None:
        """`room`: see Kept."""
        self._key = claim.key
        self._room = room
        self._reply = reply
        self._watch = watch
        self._data = bytearray()  # one piece: a list of small ones would take many times their size
        self._size = 0
        self._whole = False  # of a stream
        self.left = False  # nobody reads any more

    def whole(self, withheld: list[bytes]) -> None:
        """A stream is a success, and these are its last events."""
        for event in withheld:
            self._take(event)
        self._whole = True

    async def kept(self, read: Answer | Reading, cap: int | None) -> Kept | None:
        """What the books are to keep; None of a stream that isn't whole."""
        first = b""
        if isinstance(read, Answer):
            self._take(json.encode_fields(read.fields))
        elif self._whole:
            first = read.first
        else:
            return None
        if self._size > ANSWER_BYTES_MAX:
            return Kept(key=self._key, answer=None)
        head = json.encode(_Basis(usage=read.usage, first=first, cap=cap))
        data = b"\n".join((head, self._data))
        self._data.clear()
        if len(data) > OFF_THE_LOOP_BYTES:
            answer = await asyncio.to_thread(zlib.compress, data, LEVEL)
        else:
            answer = zlib.compress(data, LEVEL)
        return Kept(key=self._key, answer=answer, room=self._room)

    async def write(self, data: bytes, watch: Watch, slow_reader_s: float) -> None:
        """As Reply.write, but a client that can't be given it is no reason to stop."""
        self._take(data)
        if self.left:
            return
        try:
            await self._reply.write(data, self, slow_reader_s)
        except Interrupted as interrupted:
            if interrupted.reason not in ("client_left", "slow_reader"):
                raise
            self.left = True
            await self._reply.quiet()

    def write_now(self, data: bytes) -> bool:
        if self.left or not self._reply.write_now(data):
            return False
        self._take(data)
        return True

    # --- as the call's watch, to those who look after the client

    async def wait(self, awaitable: Coroutine[Any, Any, T]) -> T:
        return await self._watch.wait(awaitable)

    def limit(self, what: Limit, seconds: float) -> None:
        self._watch.limit(what, seconds)

    def stop(self, reason: Stop) -> None:
        """The client has left: the call goes on."""
        self.left = True

    def _take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= ANSWER_BYTES_MAX:
            self._data += data
        else:
            self._data.clear()


def found(claim: Claim, stored: StoredAnswer | None, claimed: Claimed | None) -> StoredAnswer | None:
    """The answer to give again; None when the call is to be carried out. Raises what stands against both.

    `stored` is what the books have under the key, `claimed` what they said when a hold was asked for."""
    if stored is None and claimed is None:
        return None
    same = (
        claimed.same
        if stored is None and claimed is not None
        else stored is not None and stored.request == claim.request
    )
    if not same:
        raise IdempotencyConflict(
            "This Idempotency-Key was used for another request within a day: send a new key with a new request.",
            param="Idempotency-Key",
        )
    if stored is None:
        raise IdempotencyInFlight(
            "The call with this Idempotency-Key is in flight: send the request again, with the key, for its answer.",
            param="Idempotency-Key",
            retry_after_ms=RETRY_AFTER_MS,
        )
    if stored.answer is None:
        raise IdempotentAnswerTooLarge(
            "The call with this Idempotency-Key was answered, and its answer is not kept: it is too large, or your "
            f"answers of that day are. It was call {stored.id} (GET /generations/{stored.id}). Send a new key to have "
            "it carried out again.",
            param="Idempotency-Key",
            details={"call_id": stored.id},
        )
    return stored


async def play(stored: StoredAnswer, call: Call, reply: Reply, watch: Watch, slow_reader_s: float) -> None:
    """Give a stored answer to `call`, which makes the same request: all at once, and with its ending, or cut off when
    the client takes too long for it or leaves, or the router stops."""
    assert stored.answer is not None, "an answer that is too large is not given"
    basis, body = await _unpacked(stored.answer)
    record = stored.record
    posted = Posted(charged=record.price, loss=0, available=stored.available)
    plan = _plan(record, basis.cap)
    before = reply.added
    reply.added = lambda: [*before(), *_headers(stored)]
    if not call.stream:
        answer = Answer(
            fields=json.decode_fields(body),
            response_id=record.response_id,
            usage=basis.usage,
            generated=Generated(),
            finish_reasons=(),
        )
        return await reply.json(200, *endings.batch(answer, record, posted, plan))
    reading = Reading(call.n)
    reading.first, reading.usage = basis.first, basis.usage
    watch.extend(SECONDS_MAX)
    try:
        for start in range(0, len(body), PIECE_BYTES):
            await reply.write(body[start : start + PIECE_BYTES], watch, slow_reader_s)
        await reply.finish(endings.stream(call, [], reading, record, posted, plan), watch, slow_reader_s)
    except Interrupted as cut:
        if (error := endings.error_of(cut)) is not None:
            await stream.say(reply, watch, slow_reader_s, error)
    return None


async def _unpacked(answer: bytes) -> tuple[_Basis, bytes]:
    data = (
        await asyncio.to_thread(zlib.decompress, answer)
        if len(answer) > OFF_THE_LOOP_BYTES
        else zlib.decompress(answer)
    )
    head, _, body = data.partition(b"\n")
    return json.decode_as(head, _Basis), body


def _plan(record: CallRecord, cap: int | None) -> Plan:
    """As much of the call's plan as an ending names."""
    return Plan(candidates=(), seed=record.seed, caps={} if cap is None else {f"{record.provider}:{record.model}": cap})


def _headers(stored: StoredAnswer) -> list[Header]:
    return [(b"idempotent-replayed", b"true"), (b"x-tollway-original-request-id", stored.id.encode())]
