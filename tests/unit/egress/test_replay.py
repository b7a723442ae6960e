"""What is kept of an answer, whoever reads it, and what is given of it again."""

import asyncio
import os
import zlib
from typing import Any

import pytest

from helpers.conversation import EVENT, SLOW_S, Conversation
from helpers.metered import call
from helpers.scripted import Wire
from helpers.virtual_time import now, virtual_time
from tollway.domain.answer import Answer, Reading
from tollway.domain.claims import Claim, Kept
from tollway.domain.commands import Claimed, Posted, StoredAnswer
from tollway.domain.errors import IdempotencyConflict, IdempotencyInFlight, IdempotentAnswerTooLarge
from tollway.domain.plan import Plan
from tollway.domain.record import CallRecord
from tollway.domain.usage import Generated, Usage
from tollway.domain.waiting import Interrupted
from tollway.egress import endings, replay
from tollway.egress.replay import Keeper, found, play
from tollway.egress.stream import DONE
from tollway.wire import json

CLAIM = Claim(key="k", request="r")
ROOM = 10**6
USAGE = b'{"prompt_tokens":11,"completion_tokens":6,"cost":"9"}'
RECORD = CallRecord(
    id="request-1",
    account="wallet",
    created_ms=1,
    ended_ms=2,
    model_asked="m",
    stream=True,
    ended="complete",
    delivery="unknown",
    provider="p",
    model="m",
    usage=Usage(prompt=11, completion=6),
    usage_origin="provider",
    price=1_500_000,
)
POSTED = Posted(charged=1_500_000, loss=0, available=2_000_000_000)
PLAN = Plan(candidates=(), seed=0, caps={"p:m": 7})


@pytest.fixture(autouse=True, params=[False, True], ids=["waited for", "at once"])
def _server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a server that has to be waited for, and under one that takes at once what it can."""
    monkeypatch.setattr(Wire, "at_once", request.param)


class Keeping(Conversation):
    """A call that keeps what it answers."""

    def __init__(self, **conversation: Any) -> None:
        super().__init__(**conversation)
        self.keeper = Keeper(CLAIM, self.reply, self.watch, ROOM)
        self.reading = Reading(1)
        self.reading.first, self.reading.usage = b'data: {"id":"c"}', USAGE

    async def write(self, data: bytes = EVENT) -> None:
        await self.keeper.write(data, self.watch, SLOW_S)

    async def kept(self) -> Kept | None:
        return await self.keeper.kept(self.reading, 7)


def stored(kept: Kept | None) -> StoredAnswer:
    assert kept is not None and kept.key == CLAIM.key
    return StoredAnswer(id=RECORD.id, request="r", answer=kept.answer, record=RECORD, available=POSTED.available)


async def played(kept: Kept | None, **asked: Any) -> Conversation:
    talk = Conversation()
    await play(stored(kept), call(**asked), talk.reply, talk.watch, SLOW_S)
    return talk


def batch() -> Answer:
    fields = json.decode_fields(b'{"id":"1","n":1.50,"choices":[ {} ]}')
    return Answer(fields=fields, response_id="1", usage=USAGE, generated=Generated(), finish_reasons=("stop",))


# --- what is kept


async def test_a_stream_is_kept_as_it_was_sent_with_what_was_withheld() -> None:
    talk = Keeping()
    await talk.write(b"data: 1\n\n")
    await talk.write(b"data: 2\n\n")
    talk.keeper.whole([b"data: 3\n\n"])
    again = await played(await talk.kept(), stream=True, include_usage=True)
    ending = endings.stream(call(include_usage=True), [], talk.reading, RECORD, POSTED, PLAN)
    assert b"".join(again.wire.parts) == b"data: 1\n\ndata: 2\n\ndata: 3\n\n" + ending
    assert b'"max_tokens_applied":7' in ending and b'"balance_usd":"2.00"' in ending
    assert talk.wire.parts == [b"data: 1\n\n", b"data: 2\n\n"]


async def test_a_batch_answer_is_kept_value_by_value() -> None:
    talk = Keeping()
    again = await played(await talk.keeper.kept(batch(), 7))
    body, headers = endings.batch(batch(), RECORD, POSTED, PLAN)
    assert again.wire.body == body
    assert dict(headers).items() <= again.wire.headers.items()
    assert again.wire.headers[b"idempotent-replayed"] == b"true"
    assert again.wire.headers[b"x-tollway-original-request-id"] == b"request-1"


async def test_a_stream_that_is_not_whole_is_not_kept() -> None:
    talk = Keeping()
    await talk.write()
    assert await talk.kept() is None


@pytest.mark.parametrize(("over", "held"), [(0, True), (1, False)])
async def test_a_stream_is_kept_up_to_a_megabyte(over: int, held: bool) -> None:
    talk = Keeping()
    piece = b"x" * 1_000
    for _ in range(replay.ANSWER_BYTES_MAX // len(piece)):
        await talk.write(piece)
    talk.keeper.whole([b"x" * over])
    kept = await talk.kept()
    assert kept is not None and (kept.answer is not None) == held


async def test_nothing_is_held_of_an_answer_that_is_too_large() -> None:
    talk = Keeping()
    for _ in range(3):
        await talk.write(b"x" * (replay.ANSWER_BYTES_MAX // 2))
    assert talk.keeper._data == b""


async def test_what_does_not_pack_well_is_kept_as_well() -> None:
    talk = Keeping()
    noise = os.urandom(100_000)
    await talk.write(noise)
    talk.keeper.whole([])
    kept = await talk.kept()
    assert kept is not None and kept.answer is not None and len(kept.answer) > replay.OFF_THE_LOOP_BYTES
    again = await played(kept, stream=True)
    assert b"".join(again.wire.parts) == noise + DONE


async def test_a_stream_of_short_events_packs_to_little() -> None:
    talk = Keeping()
    for number in range(1_000):
        await talk.write(b'data: {"id":"chatcmpl-1","choices":[{"delta":{"content":"%d"}}]}\n\n' % number)
    talk.keeper.whole([])
    kept = await talk.kept()
    assert kept is not None and kept.answer is not None
    assert len(kept.answer) < len(zlib.decompress(kept.answer)) / 10


# --- who doesn't read it


async def test_a_client_that_is_gone_is_written_to_no_more_and_the_rest_is_kept() -> None:
    talk = Keeping()
    await talk.write(b"data: 1\n\n")
    talk.keeper.stop("client_left")
    await talk.write(b"data: 2\n\n")
    talk.keeper.whole([])
    assert talk.wire.parts == [b"data: 1\n\n"] and talk.keeper.left
    again = await played(await talk.kept(), stream=True)
    assert b"".join(again.wire.parts) == b"data: 1\n\ndata: 2\n\n" + DONE


async def test_a_client_that_is_found_gone_by_a_write_does_not_stop_the_call() -> None:
    talk = Keeping()
    await talk.write()
    talk.wire.gone = True
    await talk.write()
    assert talk.keeper.left
    assert await talk.watch.wait(asyncio.sleep(0, "goes on")) == "goes on"


@virtual_time
async def test_a_client_that_reads_too_slowly_is_given_up_once_and_not_waited_for_again() -> None:
    talk = Keeping()
    await talk.write()
    talk.wire.stall()
    begun = now()
    for _ in range(5):
        await talk.write()
    assert talk.keeper.left
    assert SLOW_S <= now() - begun < 2 * SLOW_S
    talk.wire.go_on()
    talk.keeper.whole([])
    again = await played(await talk.kept(), stream=True)
    assert b"".join(again.wire.parts) == EVENT * 6 + DONE


@virtual_time
async def test_the_calls_own_time_and_a_drain_end_it_as_any() -> None:
    talk = Keeping(total=SLOW_S / 2)
    await talk.write()
    talk.wire.stall()
    with pytest.raises(Interrupted) as cut:
        await talk.write()
    assert cut.value.reason == "total" and not talk.keeper.left


# --- given again


@virtual_time
async def test_who_reads_a_repeat_too_slowly_is_cut_off_with_an_error() -> None:
    first = Keeping()
    await first.write()
    first.keeper.whole([])
    kept = await first.kept()
    talk = Conversation()
    await talk.write()
    talk.wire.stall()
    asyncio.get_running_loop().call_later(SLOW_S + 1, talk.wire.go_on)
    await play(stored(kept), call(stream=True), talk.reply, talk.watch, SLOW_S)
    assert b"provider_timeout" in talk.wire.parts[-1] and DONE not in talk.wire.body


async def test_who_leaves_during_a_repeat_is_not_answered_further() -> None:
    first = Keeping()
    await first.write()
    first.keeper.whole([])
    kept = await first.kept()
    talk = Conversation()
    talk.wire.gone = True
    await play(stored(kept), call(stream=True), talk.reply, talk.watch, SLOW_S)
    assert talk.wire.parts == []


# --- what stands against it


def test_a_key_that_nobody_holds_stands_against_nothing() -> None:
    assert found(CLAIM, None, None) is None


@pytest.mark.parametrize("answer", [b"", None])
def test_another_request_is_a_conflict_whatever_is_kept(answer: bytes | None) -> None:
    kept = StoredAnswer(id="1", request="other", answer=answer, record=RECORD, available=0)
    for claimed in (None, Claimed(id="1", answered=True, same=False)):
        with pytest.raises(IdempotencyConflict):
            found(CLAIM, kept, claimed)
    with pytest.raises(IdempotencyConflict):
        found(CLAIM, None, Claimed(id="1", answered=False, same=False))


@pytest.mark.parametrize("answered", [False, True])
def test_a_call_whose_answer_is_not_committed_is_in_flight(answered: bool) -> None:
    with pytest.raises(IdempotencyInFlight) as raised:
        found(CLAIM, None, Claimed(id="1", answered=answered, same=True))
    assert raised.value.retry_after_ms == replay.RETRY_AFTER_MS


def test_an_answer_that_was_too_large_is_named_instead() -> None:
    kept = StoredAnswer(id="call-1", request="r", answer=None, record=RECORD, available=0)
    with pytest.raises(IdempotentAnswerTooLarge) as raised:
        found(CLAIM, kept, None)
    assert raised.value.details == {"call_id": "call-1"} and "call-1" in raised.value.message
