"""What a caller is told when no provider served the call, and how long one at its limit is waited for."""

from typing import Any

import msgspec
import pytest

from helpers.attempting import Bench, answer, candidate, failure, fault, tokens, too_long
from helpers.scripted import (
    SILENCE,
    ScriptedResponse,
    anew,
)
from helpers.virtual_time import now, virtual_time
from tollway.domain.call import Call
from tollway.domain.errors import (
    ContentFiltered,
    ContextLengthExceeded,
    NoProviderAvailable,
    ProviderFailed,
    ProviderFault,
    ProviderTimeout,
    RequestError,
    RequestTooLarge,
)
from tollway.domain.plan import Candidate, Timeouts
from tollway.domain.seams import HttpRequest
from tollway.upstream.attempts import (
    FAULT_BODY_BYTES_MAX,
    FAULT_BODY_S_MAX,
)
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI
from tollway.upstream.final_error import RETRY_AFTER_MS_MAX
from tollway.upstream.turns import RETRY_AFTER_S_MAX

# --- the caller's own fault


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error":{"message":"temperature"}}', RequestError),
        (422, b'{"error":{"message":"temperature"}}', RequestError),
        (413, b'{"error":{"message":"temperature"}}', RequestTooLarge),
        (400, b'{"error":{"message":"temperature","code":"content_filter"}}', ContentFiltered),
        (400, b'{"error":{"message":"temperature","code":"context_length_exceeded"}}', ContextLengthExceeded),
    ],
)
@virtual_time
async def test_a_refusal_of_the_request_is_final_and_passed_on(status: int, body: bytes, error: type) -> None:
    bench = Bench(a=[failure(status, body)], b=[])
    refused = await bench.refused()
    assert type(refused) is error
    assert "temperature" in refused.message
    assert refused.attempts == tuple(bench.trail.attempts)


class Wordless(OpenAIOpenAI):
    def request(self, call: Call, candidate: Candidate, *, max_tokens: int | None = None) -> HttpRequest:
        if candidate.provider.startswith("wordless"):
            raise ProviderFault("inexpressible", "no words for it", reason="it takes no pictures")
        return super().request(call, candidate, max_tokens=max_tokens)


@virtual_time
async def test_what_a_dialect_has_no_words_for_is_asked_of_the_next_candidate() -> None:
    bench = Bench(dialect=Wordless, wordless=[], b=[answer()])
    await bench.answer()
    assert bench.transport.asked == ["b"]
    assert bench.outcomes == [("wordless", "inexpressible"), ("b", "ok")]
    assert bench.observer.alarms == []


@virtual_time
async def test_where_nobody_has_words_for_a_request_it_is_the_request_that_is_refused_with_the_reason() -> None:
    bench = Bench(dialect=Wordless, wordless=[], wordless2=[])
    refused = await bench.refused()
    assert (type(refused), refused.should_retry) == (RequestError, False)
    assert refused.message == "No provider of this model can be asked this: it takes no pictures"
    assert bench.transport.requests == []


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (failure(503), NoProviderAvailable),
        (failure(502), ProviderFailed),
        (SILENCE, ProviderTimeout),
        (failure(400), RequestError),
    ],
)
@virtual_time
async def test_of_those_that_had_words_the_failure_is_told(step: Any, error: type) -> None:
    bench = Bench(dialect=Wordless, b=[anew(step), anew(step)], wordless=[])
    refused = await bench.refused()
    assert type(refused) is error
    assert "pictures" not in refused.message


@virtual_time
async def test_a_refusal_without_a_reason_says_so() -> None:
    assert (await Bench(a=[failure(400)]).refused()).message.endswith("it gave no reason")


@virtual_time
async def test_too_long_a_prompt_goes_only_to_a_larger_model_that_the_caller_named() -> None:
    bench = Bench(
        candidate("a", context_length=8_000),
        candidate("b", context_length=16_000),  # the same model elsewhere
        candidate("c", "small", context_length=8_000),
        candidate("d", "large", context_length=32_000),
        a=[too_long()],
        b=[],
        c=[],
        d=[answer()],
    )
    await bench.answer()
    assert bench.transport.asked == ["a", "d"]


@virtual_time
async def test_of_a_prompt_that_is_too_long_the_caller_is_told_even_if_the_larger_model_fails_otherwise() -> None:
    bench = Bench(candidate("a"), candidate("b", "large", context_length=32_000), a=[too_long()], b=[fault()])
    assert type(await bench.refused()) is ContextLengthExceeded


@virtual_time
async def test_a_provider_at_its_limit_is_not_waited_for_once_the_request_was_refused() -> None:
    bench = Bench(a=[failure(429, retry_after="1")], b=[failure(400)])
    assert type(await bench.refused()) is RequestError
    assert bench.transport.asked == ["a", "b"]


# --- limits of providers


@virtual_time
async def test_with_nobody_else_to_ask_a_provider_at_its_limit_is_waited_for_as_told() -> None:
    bench = Bench(a=[failure(429, retry_after="3"), answer()])
    started = now()
    await bench.answer()
    assert now() - started == pytest.approx(3)
    assert bench.trail.attempts[0].retry_after_ms == 3_000


@virtual_time
async def test_of_several_at_their_limit_the_soonest_is_waited_for() -> None:
    limits = {"a": "9", "b": "2", "c": "5"}
    steps = {name: [failure(429, retry_after=seconds), answer()] for name, seconds in limits.items()}
    bench = Bench(**steps, d=[fault()])
    started = now()
    await bench.answer()
    assert bench.transport.asked == ["a", "b", "c", "d", "b"]
    assert now() - started == pytest.approx(2)


@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_no_limit_of_an_attempt_runs_while_a_provider_is_waited_for(how: str) -> None:
    brief = Timeouts(first_byte=2, batch=2)
    good = answer() if how == "answer" else tokens()
    bench = Bench(msgspec.structs.replace(candidate("a"), timeouts=brief), a=[failure(429, retry_after="5"), good])
    await getattr(bench, how)()
    assert bench.transport.asked == ["a", "a"]


@virtual_time
async def test_it_is_waited_for_once() -> None:
    bench = Bench(a=[failure(429, retry_after="3"), failure(429, retry_after="4")])
    refused = await bench.refused()
    assert type(refused) is NoProviderAvailable
    assert refused.retry_after_ms == 3_000


@virtual_time
async def test_nobody_is_kept_waiting_for_longer_than_the_limit() -> None:
    bench = Bench(a=[failure(429, retry_after=str(RETRY_AFTER_S_MAX + 1))])
    started = now()
    refused = await bench.refused()
    assert (type(refused), now() - started) == (NoProviderAvailable, 0)
    assert refused.retry_after_ms == (RETRY_AFTER_S_MAX + 1) * 1000


@virtual_time
async def test_a_limit_without_a_time_is_not_waited_for() -> None:
    refused = await Bench(a=[failure(429)], b=[failure(503)]).refused()
    assert (type(refused), refused.retry_after_ms) == (NoProviderAvailable, 5_000)


@virtual_time
async def test_a_caller_is_told_of_no_longer_wait_than_makes_sense() -> None:
    refused = await Bench(a=[failure(429, retry_after="86400")], b=[failure(503)]).refused()
    assert refused.retry_after_ms == RETRY_AFTER_MS_MAX


# --- when all have failed


@virtual_time
async def test_when_all_were_silent_it_is_a_timeout() -> None:
    refused = await Bench(a=[SILENCE], b=[SILENCE]).refused()
    assert type(refused) is ProviderTimeout
    assert "a (batch_timeout), b (batch_timeout)" in refused.message
    assert refused.should_retry is False


@virtual_time
async def test_when_one_failed_otherwise_it_is_a_failure() -> None:
    bench = Bench(a=[SILENCE], b=[failure(403, b"secret reason")])
    refused = await bench.refused()
    assert type(refused) is ProviderFailed
    assert "secret" not in refused.message
    assert refused.attempts == tuple(bench.trail.attempts)


@virtual_time
async def test_a_plan_without_candidates_has_no_provider_available() -> None:
    bench = Bench()
    assert type(await bench.refused()) is NoProviderAvailable


# --- error bodies


@virtual_time
async def test_of_an_error_body_only_the_start_is_read() -> None:
    response = failure(500)
    response.reads = [b"x" * 1_000] * 1_000
    bench = Bench(a=[response, answer()])
    await bench.answer()
    assert 1_000 - len(response.reads) == -(-FAULT_BODY_BYTES_MAX // 1_000)


@pytest.mark.parametrize("rest", [SILENCE, fault("cut")])
@pytest.mark.parametrize("how", ["answer", "open"])
@virtual_time
async def test_an_error_body_that_does_not_come_leaves_the_status_to_speak(how: str, rest: Any) -> None:
    bench = Bench(a=[ScriptedResponse(b'{"err', rest, status=503)], b=[answer() if how == "answer" else tokens()])
    started = now()
    await getattr(bench, how)()
    assert bench.trail.attempts[0].outcome == "overloaded"
    assert now() - started == pytest.approx(FAULT_BODY_S_MAX if rest is SILENCE else 0)
