"""The relay: what reaches the client at once, what is withheld, and when a stream counts as whole."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.conversation import SLOW_S
from helpers.relayed import IDLE_S, Stage, after, slow, told
from helpers.scripted import DONE, ERROR, ROLE, SILENCE, USAGE, Wire, chunk, event
from helpers.virtual_time import VirtualTimeLoop, now, virtual_time
from tollway.domain.errors import ProviderFault
from tollway.egress.stream import USAGE_GRACE_S, WITHHELD_BYTES_MAX

STOP = chunk(finish="stop")
A, B = chunk("a"), chunk("b")
CUT = ProviderFault("cut", "reset")


@pytest.fixture(autouse=True, params=[False, True], ids=["waited for", "at once"])
def _server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a server that has to be waited for, and under one that takes at once what it can."""
    monkeypatch.setattr(Wire, "at_once", request.param)


# --- at once, and withheld


@virtual_time
async def test_tokens_go_to_the_client_as_they_come_and_the_finish_is_withheld() -> None:
    stage = Stage(ROLE, A, B, STOP, USAGE, DONE)
    relayed = await stage.relay()
    assert told(relayed) == ("complete", None, None)
    assert stage.wire.parts == [ROLE, A, B]
    assert relayed.withheld == [STOP]
    assert not stage.wire.complete
    assert stage.reading.finish_reasons == ("stop",)


@virtual_time
async def test_an_event_reaches_the_client_before_the_next_is_read() -> None:
    stage = Stage(A, B, STOP, DONE)
    seen: list[bytes] = []
    read = stage.response.read

    async def noting() -> bytes:
        seen.append(stage.wire.body)
        return await read()

    stage.response.read = noting  # type: ignore[method-assign]
    await stage.relay()
    assert seen == [b"", A, A + B, A + B]


@virtual_time
async def test_the_opening_goes_first() -> None:
    stage = Stage(B, STOP, DONE)
    stage.opening = stage.source._reader.feed(ROLE + A)
    await stage.relay()
    assert stage.wire.body == ROLE + A + B


@virtual_time
async def test_what_comes_in_one_read_is_sorted_event_by_event() -> None:
    stage = Stage(A + B + STOP + USAGE + DONE)
    relayed = await stage.relay()
    assert (stage.wire.parts, relayed.withheld) == ([A + B], [STOP])


@virtual_time
async def test_one_choices_finish_is_withheld_while_the_others_go_on() -> None:
    ends = [chunk(index=0, finish="stop"), chunk(index=1, finish="length")]
    more = chunk("more", index=1)
    stage = Stage(A, ends[0], more, ends[1], DONE, n=2)
    relayed = await stage.relay()
    assert stage.wire.body == A + more
    assert relayed.withheld == ends
    assert stage.reading.finish_reasons == ("stop", "length")


@virtual_time
async def test_after_the_last_finish_everything_is_withheld() -> None:
    late = chunk("citations")
    stage = Stage(A, STOP, late, DONE)
    relayed = await stage.relay()
    assert (stage.wire.body, relayed.withheld) == (A, [STOP, late])


@virtual_time
async def test_the_usage_chunk_is_taken_out() -> None:
    stage = Stage(A, STOP, USAGE, DONE)
    relayed = await stage.relay()
    assert b"usage" not in stage.wire.body + b"".join(relayed.withheld)
    assert msgspec.json.decode(stage.reading.usage or b"")["completion_tokens"] == 2


@given(st.data())
def test_however_the_bytes_are_cut_into_reads_the_client_is_given_the_same(data: st.DataObject) -> None:
    whole = ROLE + A + event('{"choices":[{"index":0,"delta":{"content":"\U0001f600é"}}]}') + B + STOP + USAGE + DONE
    cuts = sorted(data.draw(st.lists(st.integers(1, len(whole) - 1), max_size=8, unique=True)))
    reads = [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    async def run() -> None:
        stage = Stage(*reads)
        relayed = await stage.relay()
        assert told(relayed) == ("complete", None, None)
        assert stage.wire.body + b"".join(relayed.withheld) == whole[: whole.index(USAGE)]
        assert relayed.withheld == [STOP]

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())


# --- when a stream is whole


@virtual_time
async def test_usage_after_the_last_finish_ends_it_without_waiting_for_more() -> None:
    stage = Stage(A, STOP + USAGE, SILENCE)
    started = now()
    assert told(await stage.relay()) == ("complete", None, None)
    assert now() == started


@virtual_time
async def test_usage_in_the_finish_event_ends_it_as_well() -> None:
    finish = chunk(finish="stop", extra='"usage":{"prompt_tokens":1,"completion_tokens":1},')
    stage = Stage(A, finish, SILENCE)
    relayed = await stage.relay()
    assert relayed.ended == "complete"
    assert b"usage" not in b"".join(relayed.withheld)


@virtual_time
async def test_usage_before_the_finish_is_no_end() -> None:
    cumulative = chunk("a", extra='"usage":{"prompt_tokens":1,"completion_tokens":1},')
    stage = Stage(cumulative, STOP, DONE)
    assert (await stage.relay()).ended == "complete"
    assert stage.reading.usage is not None
    assert not stage.reading.settled


@virtual_time
async def test_done_ends_it_with_or_without_a_finish_reason() -> None:
    for reads in ([A, STOP, DONE], [A, DONE], [DONE]):
        stage = Stage(*reads)
        assert told(await stage.relay()) == ("complete", None, None)


@virtual_time
async def test_done_when_only_some_choices_have_finished_is_a_cut() -> None:
    assert told(await Stage(A, STOP, DONE, n=2).relay()) == ("provider_failed", None, "cut")


@virtual_time
async def test_the_end_of_the_body_after_the_last_finish_is_the_end() -> None:
    assert told(await Stage(A, STOP).relay()) == ("complete", None, None)


@pytest.mark.parametrize("reads", [[A], [A, STOP], [], [A, chunk(index=7, finish="stop"), STOP]])
@virtual_time
async def test_the_end_of_the_body_before_every_choice_has_finished_is_a_cut(reads: list[bytes]) -> None:
    assert told(await Stage(*reads, n=2).relay()) == ("provider_failed", None, "cut")


@pytest.mark.parametrize(
    ("broken", "outcome"),
    [(CUT, "cut"), (ERROR, "error_event"), (b'data: {"torn\n\n', "cut"), (b'data: {"torn', "cut")],
)
@virtual_time
async def test_a_stream_that_breaks_in_the_middle_is_the_providers_failure(broken: Any, outcome: str) -> None:
    stage = Stage(A, B, broken)
    assert told(await stage.relay()) == ("provider_failed", None, outcome)
    assert stage.wire.body == A + B


@virtual_time
async def test_what_came_before_an_error_in_the_same_read_is_still_given() -> None:
    stage = Stage(A + B + ERROR)
    assert told(await stage.relay()) == ("provider_failed", None, "error_event")
    assert stage.wire.body == A + B


@pytest.mark.parametrize("broken", [CUT, ERROR, b'data: {"torn\n\n', b'data: {"torn'])
@virtual_time
async def test_what_breaks_after_the_last_finish_breaks_nothing(broken: Any) -> None:
    stage = Stage(A, STOP, broken)
    relayed = await stage.relay()
    assert (told(relayed), relayed.withheld) == (("complete", None, None), [STOP])


# --- time


@virtual_time
async def test_silence_in_the_middle_is_the_providers_failure() -> None:
    stage = Stage(A, SILENCE)
    started = now()
    assert told(await stage.relay()) == ("provider_failed", None, "idle_timeout")
    assert now() - started == pytest.approx(IDLE_S)


@virtual_time
async def test_comments_and_noise_do_not_keep_a_provider_from_being_silent() -> None:
    stage = slow(A, *after(IDLE_S - 1, b": still here\n\n", b"data: hm\n\n", STOP + USAGE))
    assert told(await stage.relay()) == ("provider_failed", None, "idle_timeout")


@virtual_time
async def test_silence_runs_from_event_to_event() -> None:
    stage = slow(*after(IDLE_S - 1, A, B, A, STOP + USAGE))
    assert (await stage.relay()).ended == "complete"


@virtual_time
async def test_a_pause_because_the_client_reads_slowly_is_no_silence_of_the_provider() -> None:
    stage = slow(A, B, *after(IDLE_S - 1, STOP + USAGE))
    stage.wire.stall()
    asyncio.get_running_loop().call_later(SLOW_S - 1, stage.wire.go_on)
    assert SLOW_S - 1 > IDLE_S
    assert (await stage.relay()).ended == "complete"


@virtual_time
async def test_a_finished_stream_has_some_seconds_to_say_its_usage() -> None:
    stage = slow(A, STOP, *after(USAGE_GRACE_S - 0.1, USAGE))
    assert (await stage.relay()).ended == "complete"
    assert stage.reading.settled


@virtual_time
async def test_a_finished_stream_that_does_not_say_its_usage_is_whole_without() -> None:
    stage = Stage(A, STOP, SILENCE)
    started = now()
    assert told(await stage.relay()) == ("complete", None, None)
    assert now() - started == pytest.approx(USAGE_GRACE_S)
    assert stage.reading.usage is None


@virtual_time
async def test_the_seconds_for_usage_run_from_the_last_finish_whatever_else_comes() -> None:
    stage = slow(A, STOP, *after(0.5, *[chunk("late")] * 100))
    started = now()
    assert (await stage.relay()).ended == "complete"
    assert now() - started == pytest.approx(USAGE_GRACE_S)


@virtual_time
async def test_before_the_last_finish_the_seconds_for_usage_do_not_run() -> None:
    ends = [chunk(index=0, finish="stop"), chunk(index=1, finish="stop")]
    stage = slow(A, ends[0], *after(IDLE_S - 1, ends[1]), USAGE, n=2)
    assert (await stage.relay()).ended == "complete"
    assert stage.reading.settled


# --- nobody reads, or the router cuts


@pytest.mark.parametrize(("stop", "ended"), [("client_left", "client_left"), ("drain", "cut_by_router")])
@virtual_time
async def test_a_stop_ends_the_relay(stop: Any, ended: str) -> None:
    stage = Stage(A, SILENCE)
    asyncio.get_running_loop().call_later(1, stage.watch.stop, stop)
    relayed = await stage.relay()
    assert told(relayed) == (ended, stop, None)
    assert relayed.nobody_reads is (stop == "client_left")


@virtual_time
async def test_a_client_that_leaves_when_all_have_finished_has_left() -> None:
    stage = Stage(A, STOP, SILENCE)
    asyncio.get_running_loop().call_later(1, stage.watch.stop, "client_left")
    assert told(await stage.relay()) == ("client_left", "client_left", None)


@virtual_time
async def test_the_calls_time_ends_the_relay() -> None:
    stage = slow(*after(IDLE_S - 1, *[A] * 10), total=30)
    relayed = await stage.relay()
    assert (told(relayed), relayed.nobody_reads) == (("cut_by_router", "total", None), False)


@virtual_time
async def test_a_client_that_does_not_read_ends_the_relay() -> None:
    stage = Stage(A, B)
    stage.wire.stall()
    relayed = await stage.relay()
    assert (told(relayed), relayed.nobody_reads) == (("cut_by_router", "slow_reader", None), True)
    assert stage.response.reads == [B]


# --- limits


@virtual_time
async def test_what_is_withheld_before_the_last_finish_is_bounded() -> None:
    large = chunk("x" * (1 << 19), index=0, finish="stop")
    stage = Stage(*[large] * 20, A, n=2)
    assert told(await stage.relay()) == ("provider_failed", None, "malformed")
    assert len(stage.response.reads) == 20 - WITHHELD_BYTES_MAX // len(large)


@virtual_time
async def test_what_follows_the_last_finish_is_bounded_and_the_answer_whole() -> None:
    large = chunk("x" * (1 << 19))
    stage = Stage(A + STOP, *[large] * 20)
    relayed = await stage.relay()
    assert told(relayed) == ("complete", None, None)
    assert stage.wire.body == A
    assert sum(map(len, relayed.withheld)) <= WITHHELD_BYTES_MAX + len(large)


@virtual_time
async def test_nothing_that_came_with_the_event_too_much_is_lost_from_a_whole_answer() -> None:
    large = chunk("x" * (1 << 19), finish="stop")
    stage = Stage(*[large] * 7, A + large + chunk(index=1, finish="stop"), n=2)
    relayed = await stage.relay()
    assert told(relayed) == ("complete", None, None)
    assert stage.wire.body == A


@virtual_time
async def test_events_that_come_in_the_moment_a_client_leaves_are_read_though_nobody_is_sent_them() -> None:
    stage = Stage(A)

    async def pump(take: Any) -> None:
        assert not take(B + STOP)
        stage.watch._loop.call_soon(stage.watch.stop, "client_left")
        await asyncio.Event().wait()

    stage.response.pump = pump  # type: ignore[method-assign]
    stage.opening = stage.source._reader.feed(A)
    relayed = await stage.relay()
    assert told(relayed) == ("client_left", "client_left", None)
    assert stage.wire.parts == [A]
    assert stage.reading.finish_reasons == ("stop",)
    assert stage.reading.text_bytes == 2
