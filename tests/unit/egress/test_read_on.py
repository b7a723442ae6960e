"""What a stream that is not whole ends with, and reading one on when nobody is there to be given it."""

import asyncio
from typing import Any

import msgspec
import pytest

from helpers.conversation import SLOW_S
from helpers.relayed import Stage, after, slow
from helpers.scripted import DONE, ERROR, SILENCE, USAGE, Wire, chunk
from helpers.virtual_time import now, virtual_time
from tollway.domain.answer import Reading
from tollway.domain.errors import NoProviderAvailable, ProviderFault
from tollway.egress.stream import USAGE_GRACE_S, error_frame, say

STOP = chunk(finish="stop")
A, B = chunk("a"), chunk("b")
CUT = ProviderFault("cut", "reset")


# --- errors


@pytest.fixture(autouse=True, params=[False, True], ids=["waited for", "at once"])
def _server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a server that has to be waited for, and under one that takes at once what it can."""
    monkeypatch.setattr(Wire, "at_once", request.param)


def frame_of(data: bytes) -> Any:
    assert data.startswith(b"data: ")
    assert data.endswith(b"\n\n")
    return msgspec.json.decode(data[6:])


def test_an_error_frame_is_nothing_that_a_client_could_take_for_a_part_of_the_answer() -> None:
    frame = frame_of(error_frame(NoProviderAvailable("none is there"), "request-1"))
    assert frame["error"] == {
        "code": "no_provider_available",
        "message": "none is there",
        "type": "provider_error",
        "param": None,
    }
    assert frame.keys() == {"id", "object", "error"}
    assert frame["id"] == "request-1"


@virtual_time
async def test_an_error_before_the_first_byte_is_raised_to_be_answered_with_its_status() -> None:
    stage = Stage()
    stage.reply.keep_alive(15)
    error = NoProviderAvailable("none")
    with pytest.raises(NoProviderAvailable) as raised:
        await say(stage.reply, stage.watch, SLOW_S, error)
    assert raised.value is error
    await asyncio.sleep(60)
    assert stage.wire.status is None


@virtual_time
async def test_an_error_after_the_first_byte_is_the_last_frame_and_no_done_follows() -> None:
    stage = Stage()
    await stage.write(A)
    stage.watch.stop("total")
    await say(stage.reply, stage.watch, SLOW_S, NoProviderAvailable("none"))
    assert stage.wire.parts == [A, error_frame(NoProviderAvailable("none"), "request-1")]
    assert stage.wire.complete


@virtual_time
async def test_an_error_that_nobody_hears_is_not_waited_for() -> None:
    stage = Stage()
    await stage.write(A)
    stage.watch.stop("client_left")
    await say(stage.reply, stage.watch, SLOW_S, NoProviderAvailable("none"))
    assert stage.wire.parts == [A]


# --- reading on, and past the end


@virtual_time
async def test_a_stream_whose_client_left_is_read_to_its_usage() -> None:
    stage = slow(A, *after(5, B, STOP), USAGE, SILENCE)
    asyncio.get_running_loop().call_later(1, stage.watch.stop, "client_left")
    await stage.relay()
    await stage.read_on()
    assert stage.reading.settled
    assert stage.reading.text_bytes == 2
    assert stage.wire.body == A


@pytest.mark.parametrize("rest", [[DONE], [STOP], [STOP, DONE], [CUT], [ERROR], []])
@virtual_time
async def test_reading_on_ends_with_the_stream_however_that_ends(rest: list[Any]) -> None:
    stage = Stage(A, *rest)
    await stage.read_on()
    assert stage.response.reads == []


@virtual_time
async def test_reading_on_is_bounded_even_if_the_provider_keeps_sending() -> None:
    for reads, bound in (([SILENCE], 60), (after(7, *[A] * 100), 60), ([STOP, *after(0.3, *[A] * 100)], 2)):
        stage = slow(*reads)
        started = now()
        await stage.read_on()
        assert now() - started == pytest.approx(bound)


@virtual_time
async def test_reading_on_when_all_have_finished_waits_for_usage_alone() -> None:
    stage = Stage(A, STOP, SILENCE)
    asyncio.get_running_loop().call_later(1, stage.watch.stop, "client_left")
    await stage.relay()
    stage.response.reads.append(SILENCE)
    started = now()
    await stage.read_on()
    assert now() - started == pytest.approx(USAGE_GRACE_S)


@virtual_time
async def test_a_drain_ends_reading_on() -> None:
    stage = Stage(SILENCE)
    asyncio.get_running_loop().call_later(3, stage.watch.stop, "drain")
    started = now()
    await stage.read_on()
    assert now() - started == pytest.approx(3)


@virtual_time
async def test_a_stream_is_read_past_its_end_so_that_its_connection_can_be_kept() -> None:
    stage = Stage(A, STOP, DONE, b": bye\n\n")
    await stage.relay()
    await stage.linger()
    assert stage.response.read_to_end


@pytest.mark.parametrize("rest", [[SILENCE], after(0.3, *[A] * 100), [CUT], [ERROR]])
@virtual_time
async def test_lingering_is_bounded_and_faults_are_nobodys_business_then(rest: list[Any]) -> None:
    stage = slow(A + STOP + USAGE, *rest)
    await stage.relay()
    started = now()
    await stage.linger()
    assert now() - started <= 1.001


def test_a_reading_is_of_the_choices_asked_for() -> None:
    assert Reading(3).finish_reasons == (None, None, None)
