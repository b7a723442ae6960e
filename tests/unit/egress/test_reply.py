"""One answer to one caller: its shape, its beginning and its end."""

import asyncio

import pytest

from helpers.conversation import EVENT, SLOW_S, Conversation
from helpers.virtual_time import now, virtual_time
from tollway.domain.answer import AttemptRecord
from tollway.domain.errors import (
    InsufficientBalance,
    MethodNotAllowed,
    MissingSignIn,
    NoProviderAvailable,
    RateLimited,
    RequestError,
    RequestTimeout,
    TollwayError,
)
from tollway.domain.waiting import Interrupted
from tollway.egress.reply import RETRY_MS_MAX, error_object

# --- whole answers


@virtual_time
async def test_a_whole_answer_is_json_with_its_length_and_the_request_id() -> None:
    talk = Conversation()
    await talk.reply.json(200, b'{"a":1}', [(b"x-tollway-provider", b"p")])
    assert (talk.wire.status, talk.wire.body, talk.wire.complete) == (200, b'{"a":1}', True)
    assert talk.wire.headers == {
        b"content-type": b"application/json",
        b"content-length": b"7",
        b"x-request-id": b"request-1",
        b"x-tollway-provider": b"p",
    }
    assert (talk.reply.started, talk.reply.ended) == (True, True)


@virtual_time
async def test_an_answer_is_started_once() -> None:
    talk = Conversation()
    await talk.write()
    with pytest.raises(AssertionError):
        await talk.reply.error(RequestError("too late"))
    assert talk.wire.body == EVENT


# --- errors


@virtual_time
async def test_an_error_has_openais_shape_its_status_and_the_request_id() -> None:
    talk = Conversation()
    error = await talk.error(RequestError("n must be at least 1.", param="n"))
    assert error == {
        "code": "invalid_request",
        "message": "n must be at least 1.",
        "type": "invalid_request_error",
        "param": "n",
    }
    assert talk.wire.status == 400
    assert talk.wire.headers[b"x-should-retry"] == b"false"
    assert talk.wire.headers[b"x-request-id"] == b"request-1"


def test_details_and_attempts_are_members_for_programs() -> None:
    attempt = AttemptRecord(provider="a", model="m", outcome="cut")
    error = InsufficientBalance("short", details={"hold_usd": "1.00"}, attempts=(attempt,))
    members = error_object(error)
    assert members["hold_usd"] == "1.00"
    assert members["attempts"] == (attempt,)
    assert "attempts" not in error_object(InsufficientBalance("short"))


@virtual_time
async def test_an_error_without_a_sign_in_says_how_to_sign_in() -> None:
    talk = Conversation()
    await talk.error(MissingSignIn("Sign in."))
    assert (talk.wire.status, talk.wire.headers[b"www-authenticate"]) == (401, b"Sign-In-With-X domain=here")


@virtual_time
async def test_a_time_to_wait_is_said_in_seconds_rounded_up_and_in_milliseconds() -> None:
    talk = Conversation()
    await talk.error(RateLimited("slower", retry_after_ms=1_001))
    assert talk.wire.headers[b"retry-after"] == b"2"
    assert talk.wire.headers[b"retry-after-ms"] == b"1001"
    assert talk.wire.headers[b"x-should-retry"] == b"true"


@pytest.mark.parametrize(("wait_ms", "should"), [(RETRY_MS_MAX, b"true"), (RETRY_MS_MAX + 1, b"false")])
@virtual_time
async def test_a_client_is_not_told_to_sleep_for_hours(wait_ms: int, should: bytes) -> None:
    talk = Conversation()
    await talk.error(RateLimited("later", retry_after_ms=wait_ms))
    assert talk.wire.headers[b"x-should-retry"] == should
    assert talk.wire.headers[b"retry-after-ms"] == str(wait_ms).encode()


@virtual_time
async def test_an_error_that_leaves_retrying_to_the_client_says_nothing_of_it() -> None:
    talk = Conversation()
    await talk.error(TollwayError("broken"))
    assert talk.wire.headers.keys() == {b"content-type", b"content-length", b"x-request-id"}


@virtual_time
async def test_a_method_that_is_not_served_is_told_which_are() -> None:
    talk = Conversation()
    await talk.error(MethodNotAllowed("no", allow="GET, POST"))
    assert (talk.wire.status, talk.wire.headers[b"allow"]) == (405, b"GET, POST")


@virtual_time
async def test_a_connection_whose_request_did_not_come_is_closed() -> None:
    talk = Conversation()
    await talk.error(RequestTimeout("too slow"))
    assert (talk.wire.status, talk.wire.headers[b"connection"]) == (408, b"close")


@virtual_time
async def test_what_a_balance_could_not_carry_is_kept_by_no_cache() -> None:
    talk = Conversation()
    await talk.error(InsufficientBalance("short"))
    assert (talk.wire.status, talk.wire.headers[b"cache-control"]) == (402, b"no-store")


# --- streams


@virtual_time
async def test_a_stream_begins_with_its_first_bytes_and_ends_with_its_last() -> None:
    talk = Conversation()
    await talk.write()
    assert (talk.reply.started, talk.reply.ended, talk.wire.complete) == (True, False, False)
    await talk.finish()
    assert talk.wire.status == 200
    assert talk.wire.headers[b"content-type"] == b"text/event-stream; charset=utf-8"
    assert talk.wire.headers[b"x-request-id"] == b"request-1"
    assert b"content-length" not in talk.wire.headers
    assert (talk.wire.parts, talk.wire.complete, talk.reply.ended) == ([EVENT, b"data: [DONE]\n\n"], True, True)


@virtual_time
async def test_a_stream_may_be_nothing_but_its_end() -> None:
    talk = Conversation()
    await talk.finish()
    assert (talk.wire.status, talk.wire.complete) == (200, True)


@virtual_time
async def test_an_answer_is_ended_once() -> None:
    talk = Conversation()
    await talk.finish()
    with pytest.raises(AssertionError):
        await talk.finish()


@virtual_time
async def test_a_slow_reader_is_waited_for_and_given_up_after_its_limit() -> None:
    talk = Conversation()
    await talk.write()
    talk.wire.stall()
    asyncio.get_running_loop().call_later(SLOW_S - 1, talk.wire.go_on)
    await talk.write()
    talk.wire.stall()
    started = now()
    with pytest.raises(Interrupted) as interrupted:
        await talk.write()
    assert (interrupted.value.reason, now() - started) == ("slow_reader", pytest.approx(SLOW_S))
    assert talk.wire.parts == [EVENT, EVENT]


@virtual_time
async def test_a_slow_reader_before_the_first_byte_has_an_answer_that_was_not_begun() -> None:
    talk = Conversation()
    talk.wire.stall()
    with pytest.raises(Interrupted):
        await talk.write()
    assert (talk.reply.started, talk.wire.status) == (False, None)
    talk.wire.go_on()
    await talk.reply.error(NoProviderAvailable("none"))
    assert talk.wire.status == 503


@virtual_time
async def test_a_call_whose_time_is_up_still_has_its_end_said() -> None:
    talk = Conversation(total=1)
    await talk.write()
    await asyncio.sleep(2)
    with pytest.raises(Interrupted):
        await talk.write()
    await talk.finish()
    assert (talk.wire.parts, talk.wire.complete) == ([EVENT, b"data: [DONE]\n\n"], True)


@virtual_time
async def test_the_end_too_is_given_up_when_nobody_reads_it() -> None:
    talk = Conversation()
    await talk.write()
    talk.wire.stall()
    started = now()
    with pytest.raises(Interrupted):
        await talk.finish()
    assert now() - started == pytest.approx(SLOW_S)


@virtual_time
async def test_nothing_is_said_to_a_client_that_left() -> None:
    talk = Conversation()
    talk.watch.stop("client_left")
    for say in (talk.write, talk.finish):
        with pytest.raises(Interrupted):
            await say()
    assert talk.wire.status is None


@virtual_time
async def test_a_server_that_says_by_an_error_that_the_client_is_gone_is_understood() -> None:
    talk = Conversation(gone=True)
    with pytest.raises(Interrupted, match="client_left"):
        await talk.write()
    with pytest.raises(Interrupted, match="client_left"):
        await talk.watch.wait(asyncio.sleep(0))
    other = Conversation(gone=True)
    with pytest.raises(Interrupted, match="client_left"):
        await other.finish()


# --- neither an ending nor an error


@virtual_time
async def test_an_answer_broken_off_is_begun_and_not_ended() -> None:
    talk = Conversation()
    await talk.reply.break_off()
    assert (talk.wire.status, talk.wire.parts, talk.wire.complete) == (200, [], False)
    assert talk.wire.headers[b"content-length"] == b"1"
    assert talk.reply.started


@virtual_time
async def test_a_stream_broken_off_is_left_as_it_is() -> None:
    talk = Conversation()
    talk.reply.keep_alive(1)
    await talk.write()
    await talk.reply.break_off()
    await asyncio.sleep(60)
    assert (talk.wire.parts, talk.wire.complete) == ([EVENT], False)
