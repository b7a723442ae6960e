"""Which provider is asked next, and what of an attempt is kept: providers are scripted, dialect and watch are real."""

from typing import Any

import msgspec
import pytest

from helpers.attempting import ANSWER, TIMEOUTS, Bench, answer, at, candidate, failure, fault, tokens
from helpers.scripted import (
    DONE,
    ERROR,
    ROLE,
    SILENCE,
    USAGE,
    ScriptedResponse,
    anew,
    chunk,
)
from helpers.virtual_time import now, virtual_time
from tollway.domain.answer import Outcome
from tollway.domain.errors import (
    ProviderFailed,
    ProviderFault,
)
from tollway.domain.waiting import Interrupted
from tollway.upstream.attempts import EVENT_BYTES, OPENING_BYTES_MAX
from tollway.upstream.turns import NEXT, RETRY_PAUSE_S

# --- one good answer


@virtual_time
async def test_a_good_batch_answer_ends_the_search() -> None:
    bench = Bench(a=[answer()], b=[])
    assert b"hi" in await bench.answer()
    assert bench.outcomes == [("a", "ok")]
    assert bench.transport.given[0].read_to_end
    assert bench.trail.asking == bench.plan.candidates[0]


@virtual_time
async def test_a_stream_is_open_from_its_first_token_on() -> None:
    bench = Bench(a=[ScriptedResponse(ROLE, chunk("hi"), chunk("!"))])
    stream = await bench.open()
    assert b"".join(part.data for part in stream.opening) == ROLE + chunk("hi")
    assert (stream.candidate.provider, stream.done) == ("a", False)
    assert [part.data for part in await stream.next() or []] == [chunk("!")]
    assert await stream.next() is None
    assert await stream.next() is None
    assert bench.outcomes == []


@virtual_time
async def test_a_provider_is_asked_in_its_dialect_with_its_key_and_the_cap_of_the_plan() -> None:
    bench = Bench(a=[answer()])
    key = bench.plan.candidates[0].key
    bench.plan = msgspec.structs.replace(bench.plan, caps={key: 7})
    await bench.answer()
    (request,) = bench.transport.requests
    assert request.url == "https://a.test/v1/chat/completions"
    assert ("authorization", "Bearer sk-secret-1") in request.headers
    assert msgspec.json.decode(request.body)["max_tokens"] == 7


# --- what follows which failure


@pytest.mark.parametrize(
    ("first", "outcome"),
    [
        (fault(), "connect_failed"),
        (SILENCE, "batch_timeout"),
        (failure(429), "rate_limited"),
        (failure(503), "overloaded"),
        (failure(529), "overloaded"),
        (failure(401), "refused_by_provider"),
        (failure(402), "refused_by_provider"),
        (failure(403), "refused_by_provider"),
        (failure(404), "refused_by_provider"),
        (ScriptedResponse(b"<html>"), "malformed"),
        (ScriptedResponse(ANSWER, headers={"content-encoding": "gzip"}), "malformed"),
        (ScriptedResponse(b'{"error":{"message":"no"}}'), "error_event"),
        (ScriptedResponse(ANSWER[:-9], fault("cut")), "cut"),
        (ScriptedResponse(b"{}", SILENCE), "batch_timeout"),
    ],
)
@virtual_time
async def test_after_a_failed_batch_attempt_the_next_provider_is_asked(first: Any, outcome: str) -> None:
    bench = Bench(a=[anew(first)], b=[answer()])
    await bench.answer()
    assert bench.outcomes == [("a", outcome), ("b", "ok")]
    assert bench.transport.asked == ["a", "b"]


@pytest.mark.parametrize(
    ("first", "outcome"),
    [
        (fault(), "connect_failed"),
        (SILENCE, "first_byte_timeout"),
        (failure(503), "overloaded"),
        (ScriptedResponse(SILENCE), "first_byte_timeout"),
        (ScriptedResponse(ROLE, SILENCE), "first_byte_timeout"),
        (ScriptedResponse(chunk("hi"), DONE, headers={"content-encoding": "br"}), "malformed"),
        (ScriptedResponse(), "cut"),
        (ScriptedResponse(ROLE), "cut"),
        (ScriptedResponse(ROLE, fault("cut")), "cut"),
        (ScriptedResponse(b'data: {"broken\n\n'), "cut"),
        (ScriptedResponse(ERROR), "error_event"),
        (ScriptedResponse(ROLE + ERROR), "error_event"),
        (ScriptedResponse(ROLE, chunk("hi") + ERROR), "error_event"),
        (ScriptedResponse(*[ROLE * 1_000] * 10), "malformed"),
        (ScriptedResponse(*[USAGE * 1_000] * 10), "malformed"),
    ],
)
@virtual_time
async def test_a_stream_that_fails_before_its_first_good_event_is_left_for_the_next_provider(
    first: Any, outcome: str
) -> None:
    bench = Bench(a=[anew(first)], b=[tokens()])
    stream = await bench.open()
    assert stream.candidate.provider == "b"
    assert bench.outcomes == [("a", outcome)]


@virtual_time
async def test_an_event_without_bytes_still_counts_against_the_opening() -> None:
    events = OPENING_BYTES_MAX // EVENT_BYTES
    bench = Bench(a=[ScriptedResponse(*[USAGE * 64] * (events // 64 + 1))])
    assert isinstance(await bench.refused("open"), ProviderFailed)
    assert bench.outcomes == [("a", "malformed")]


@virtual_time
async def test_an_opening_that_is_all_there_is_opens_the_stream() -> None:
    for reads in ([ROLE, chunk(finish="stop")], [ROLE, DONE], [DONE], [ROLE + chunk(finish="stop") + ERROR]):
        bench = Bench(a=[ScriptedResponse(*reads)])
        assert (await bench.open()).candidate.provider == "a"


@virtual_time
async def test_done_that_only_lacks_its_blank_line_opens_the_stream() -> None:
    bench = Bench(a=[ScriptedResponse(b"data: [DONE]")])
    stream = await bench.open()
    assert (stream.opening, stream.done) == ([], True)


@virtual_time
async def test_a_fault_known_with_the_last_events_is_raised_after_them() -> None:
    bench = Bench(a=[ScriptedResponse(chunk("a"), chunk("b") + ERROR)])
    stream = await bench.open()
    assert [part.data for part in await stream.next() or []] == [chunk("b")]
    assert stream.fault is not None
    for _ in range(2):
        with pytest.raises(ProviderFault, match="error_event"):
            await stream.next()


@virtual_time
async def test_an_event_that_only_lacks_its_blank_line_is_the_last() -> None:
    bench = Bench(a=[ScriptedResponse(chunk("a"), chunk("b").rstrip())])
    stream = await bench.open()
    assert [part.data for part in await stream.next() or []] == []
    assert [part.data for part in await stream.next() or []] == [chunk("b")]
    assert await stream.next() is None


@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_after_a_500_the_same_provider_is_asked_once_more_after_a_jittered_pause(how: str) -> None:
    bench = Bench(a=[failure(500), failure(500)], b=[answer() if how == "answer" else tokens()])
    started = now()
    await getattr(bench, how)()
    assert bench.transport.asked == ["a", "a", "b"]
    assert now() - started == pytest.approx(sum(RETRY_PAUSE_S) / 2)


@virtual_time
async def test_each_provider_has_its_own_second_chance_after_a_500() -> None:
    bench = Bench(a=[failure(500), failure(500)], b=[failure(500), answer()])
    await bench.answer()
    assert bench.transport.asked == ["a", "a", "b", "b"]


@pytest.mark.parametrize("first", [SILENCE, fault("first_byte_timeout")])
@virtual_time
async def test_a_silent_provider_is_not_asked_again_for_this_call(first: Any) -> None:
    bench = Bench(candidate("a", "m"), candidate("a", "other"), candidate("b"), a=[first], b=[tokens()])
    started = now()
    await bench.open()
    assert bench.transport.asked == ["a", "b"]
    assert now() - started == pytest.approx(TIMEOUTS.first_byte if first is SILENCE else 0)


@virtual_time
async def test_a_silent_provider_is_not_waited_for_either() -> None:
    limited = failure(429, retry_after="1")
    bench = Bench(candidate("a", "m"), candidate("a", "other"), a=[limited, SILENCE])
    assert isinstance(await bench.refused(), ProviderFailed)
    assert bench.transport.dropped == 1


@virtual_time
async def test_first_byte_runs_until_the_first_token_and_not_longer() -> None:
    bench = Bench(a=[tokens()])
    stream = await bench.open()
    at(50, bench.watch.stop, "drain")
    started = now()
    stream._response.reads.append(SILENCE)  # type: ignore[attr-defined]
    with pytest.raises(Interrupted):
        await stream.next()
    assert now() - started == pytest.approx(50)


@virtual_time
async def test_a_refusal_of_the_router_itself_alarms_the_operator() -> None:
    bench = Bench(a=[failure(401, b'{"error":{"message":"bad key sk-secret-1"}}')], b=[answer()])
    await bench.answer()
    ((what, detail),) = bench.observer.alarms
    assert what == "provider_refuses_us"
    assert detail.startswith("a: status 401")
    assert "sk-secret-1" not in detail


@virtual_time
async def test_every_failure_that_an_attempt_may_have_has_its_rule() -> None:
    assert NEXT.keys() == set(Outcome.__args__) - {"ok", "cancelled"}


async def test_an_answer_in_tiny_pieces_is_put_together() -> None:
    bench = Bench(a=[ScriptedResponse(*(ANSWER[at : at + 2] for at in range(0, len(ANSWER), 2)))])
    assert await bench.answer() == await Bench(a=[answer()]).answer()


@virtual_time
async def test_a_packed_error_is_known_by_its_status_alone() -> None:
    bench = Bench(
        a=[ScriptedResponse(b"\x1f\x8b", SILENCE, status=503, headers={"content-encoding": "gzip"})], b=[answer()]
    )
    await bench.answer()
    assert bench.outcomes == [("a", "overloaded"), ("b", "ok")]


class AtHand(ScriptedResponse):
    """All of it has come with its head."""

    def whole(self) -> bytes | None:
        return b"".join(read for read in self.reads if isinstance(read, bytes))


async def test_an_answer_that_has_come_is_not_waited_for() -> None:
    bench = Bench(a=[AtHand(ANSWER)])
    assert await bench.answer() == await Bench(a=[answer()]).answer()


async def test_an_answer_that_has_come_has_the_same_limit() -> None:
    bench = Bench(a=[AtHand(b" " * 1200)], b=[answer()])
    assert "ask for fewer tokens" in (await bench.refused("answer")).message
    assert bench.outcomes == [("a", "too_large")]


@virtual_time
async def test_a_batch_answer_that_is_too_large_is_asked_of_nobody_else() -> None:
    bench = Bench(a=[ScriptedResponse(b" " * 600, b" " * 600)], b=[answer()])
    assert "ask for fewer tokens" in (await bench.refused("answer")).message
    assert bench.outcomes == [("a", "too_large")]
