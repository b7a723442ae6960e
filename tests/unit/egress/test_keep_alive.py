"""Keep-alive comments: when they are sent, between what they never come, and when there are none any more."""

import asyncio

import pytest

from helpers.conversation import EVENT, SLOW_S, Conversation
from helpers.virtual_time import now, virtual_time
from helpers.waits import uncancelled
from tollway.domain.errors import (
    NoProviderAvailable,
)
from tollway.domain.waiting import Interrupted
from tollway.egress.reply import KEEP_ALIVE

# --- keep-alive comments


@virtual_time
async def test_after_each_silence_a_comment_is_sent_and_the_answer_begun() -> None:
    talk = Conversation()
    talk.reply.keep_alive(15)
    await asyncio.sleep(14)
    assert talk.wire.status is None
    await asyncio.sleep(2)
    assert (talk.wire.status, talk.wire.parts, talk.reply.started) == (200, [KEEP_ALIVE], True)
    await asyncio.sleep(30)
    assert talk.wire.parts == [KEEP_ALIVE] * 3
    await talk.finish()


@virtual_time
async def test_silence_is_counted_from_the_last_write() -> None:
    talk = Conversation()
    talk.reply.keep_alive(15)
    for _ in range(5):
        await asyncio.sleep(10)
        await talk.write()
    assert talk.wire.parts == [EVENT] * 5
    await asyncio.sleep(16)
    assert talk.wire.parts == [EVENT] * 5 + [KEEP_ALIVE]
    await talk.finish()


@virtual_time
async def test_silence_is_counted_from_the_end_of_a_slow_write() -> None:
    talk = Conversation()
    talk.reply.keep_alive(15)
    await talk.write()
    talk.wire.stall()
    asyncio.get_running_loop().call_later(20, talk.wire.go_on)
    await talk.write()
    await asyncio.sleep(14)
    assert talk.wire.parts == [EVENT, EVENT]
    await talk.finish()


@virtual_time
async def test_no_comment_comes_between_while_a_write_waits() -> None:
    talk = Conversation()
    talk.reply.keep_alive(1)
    await talk.write()
    talk.wire.stall()
    asyncio.get_running_loop().call_later(10, talk.wire.go_on)
    await talk.write()
    assert (talk.wire.parts, talk.wire.waiting_max) == ([EVENT, EVENT], 1)
    await talk.finish()


@virtual_time
async def test_comments_do_not_pile_up_before_a_client_that_does_not_read() -> None:
    talk = Conversation()
    talk.wire.stall()
    talk.reply.keep_alive(1)
    await asyncio.sleep(10)
    assert talk.wire.waiting == 1
    talk.wire.go_on()
    await asyncio.sleep(0)
    await talk.reply.quiet()
    assert talk.wire.parts == [KEEP_ALIVE]


@virtual_time
async def test_a_write_goes_behind_the_comment_that_is_being_sent() -> None:
    for say in ("write", "finish"):
        talk = Conversation()
        talk.wire.stall()
        talk.reply.keep_alive(1)
        asyncio.get_running_loop().call_later(5, talk.wire.go_on)
        await asyncio.sleep(2)
        await getattr(talk, say)(EVENT)
        assert (talk.wire.parts, talk.wire.waiting_max) == ([KEEP_ALIVE, EVENT], 1)
        await talk.reply.quiet()


@virtual_time
async def test_a_comment_that_nobody_reads_is_the_slow_readers_fault_and_goes_with_the_write() -> None:
    talk = Conversation()
    talk.watch.limit("idle", 5)
    talk.wire.stall()
    talk.reply.keep_alive(1)
    await asyncio.sleep(2)
    started = now()
    with pytest.raises(Interrupted) as interrupted:
        await talk.write()
    assert (interrupted.value.reason, now() - started) == ("slow_reader", pytest.approx(SLOW_S))
    assert uncancelled()
    await talk.reply.quiet()
    talk.wire.go_on()
    await asyncio.sleep(60)
    assert (talk.reply.started, talk.wire.status, talk.wire.parts) == (False, None, [])


@virtual_time
async def test_after_quiet_no_comment_is_written_any_more() -> None:
    talk = Conversation()
    talk.reply.keep_alive(1)
    await asyncio.sleep(1.5)
    await talk.reply.quiet()
    await asyncio.sleep(60)
    assert talk.wire.parts == [KEEP_ALIVE]
    await talk.reply.quiet()


@virtual_time
async def test_a_comment_about_to_be_sent_is_not_sent_after_quiet_and_an_error_has_its_status() -> None:
    talk, loop = Conversation(), asyncio.get_running_loop()
    reached = loop.create_future()
    loop.call_later(1, reached.set_result, None)
    talk.reply.keep_alive(1)
    await reached  # the comment is due in the same moment, and its turn comes after this task's
    assert talk.reply._comment is not None
    await talk.reply.quiet()
    assert not talk.reply.started
    await talk.reply.error(NoProviderAvailable("none"))
    assert talk.wire.status == 503


@virtual_time
async def test_a_comment_that_waits_for_the_client_is_not_sent_after_quiet() -> None:
    talk = Conversation()
    await talk.write()
    talk.wire.stall()
    talk.reply.keep_alive(1)
    await asyncio.sleep(5)
    await talk.reply.quiet()
    talk.wire.go_on()
    await asyncio.sleep(60)
    assert talk.wire.parts == [EVENT]


@virtual_time
async def test_a_beginning_that_waits_for_the_client_is_none_after_quiet_and_an_error_has_its_status() -> None:
    talk = Conversation()
    talk.wire.stall()
    talk.reply.keep_alive(1)
    await asyncio.sleep(5)
    assert talk.reply.started
    await talk.reply.quiet()
    assert not talk.reply.started
    talk.wire.go_on()
    await talk.reply.error(NoProviderAvailable("none"))
    assert talk.wire.status == 503


@virtual_time
async def test_no_comment_follows_the_end() -> None:
    talk = Conversation()
    talk.reply.keep_alive(1)
    await talk.finish()
    await asyncio.sleep(60)
    assert (talk.wire.parts, talk.wire.sends) == ([b"data: [DONE]\n\n"], 2)


@virtual_time
async def test_a_comment_to_a_client_that_is_gone_fails_in_silence() -> None:
    talk = Conversation(gone=True)
    talk.reply.keep_alive(1)
    await asyncio.sleep(5)
    await talk.reply.quiet()
    assert talk.wire.parts == []
