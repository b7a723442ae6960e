"""The last bytes of whole answers, and which error stands for one that isn't whole."""

from typing import Any, get_args

import msgspec
import pytest

from helpers.metered import call
from helpers.scripted import DONE, chunk
from tollway.domain.answer import Answer, AttemptRecord, Reading, StreamEvent
from tollway.domain.commands import Posted
from tollway.domain.errors import (
    InternalError,
    NoProviderAvailable,
    ProviderFailed,
    ProviderFault,
    ProviderTimeout,
    RequestTimeout,
    ShuttingDown,
    TollwayError,
)
from tollway.domain.plan import Plan
from tollway.domain.record import CallRecord
from tollway.domain.usage import Generated, Usage
from tollway.domain.waiting import Interrupted, Limit, Reason, Stop
from tollway.egress import endings
from tollway.egress.stream import Relayed
from tollway.wire import json

POSTED = Posted(charged=1_500_000, loss=0, available=2_000_000_000)
PLAN = Plan(candidates=(), seed=1, caps={"p:m": 7, "q:m": 9})
RECORD = CallRecord(
    id="request-1",
    account="wallet",
    created_ms=1,
    ended_ms=2,
    model_asked="m",
    stream=True,
    ended="complete",
    delivery="complete",
    provider="p",
    model="m",
    usage=Usage(prompt=10, completion=5),
    usage_origin="provider",
    attempts=(AttemptRecord(provider="p", model="m", outcome="ok"),),
)
REPORTED = b'{"prompt_tokens":11,"completion_tokens":6}'
REASONS: tuple[Reason, ...] = (*get_args(Limit), *get_args(Stop))


def answer(usage: bytes | None = REPORTED) -> Answer:
    return Answer(
        fields=json.decode_fields(b'{"id":"1","choices":[]}'),
        response_id="1",
        usage=usage,
        generated=Generated(),
        finish_reasons=("stop",),
    )


def read_stream(usage: bytes | None = REPORTED) -> Reading:
    reading = Reading(1)
    reading.note(StreamEvent(data=chunk("a"), response_id="chatcmpl-1"))
    reading.usage = usage
    return reading


def value(data: bytes) -> Any:
    return msgspec.json.decode(data)


# --- whole answers


def test_a_batch_answer_says_what_it_cost_who_served_it_and_what_is_left() -> None:
    body, headers = endings.batch(answer(), RECORD, POSTED, PLAN)
    said = value(body)
    assert said["usage"] == {"prompt_tokens": 11, "completion_tokens": 6, "cost": "0.0015"}
    assert said["tollway"] == {
        "request_id": "request-1",
        "provider": "p",
        "model": "m",
        "balance_usd": "2.00",
        "attempts": [{"provider": "p", "model": "m", "outcome": "ok"}],
        "max_tokens_applied": 7,
    }
    assert headers == [(b"x-tollway-provider", b"p"), (b"x-tollway-cost-usd", b"0.0015")]


@pytest.mark.parametrize("usage", [None, b'{"prompt_tokens":-1}'])
def test_usage_that_is_missing_or_was_refused_is_replaced_by_our_own_count(usage: bytes | None) -> None:
    record = msgspec.structs.replace(RECORD, usage_origin="estimated")
    said = value(endings.batch(answer(usage), record, POSTED, PLAN)[0])
    assert (said["usage"]["prompt_tokens"], said["usage"]["completion_tokens"]) == (10, 5)
    assert said["tollway"]["estimated"] is True


def test_a_limit_that_was_not_lowered_is_not_mentioned() -> None:
    said = value(endings.batch(answer(), RECORD, POSTED, Plan(candidates=(), seed=1))[0])
    assert "max_tokens_applied" not in said["tollway"]


def test_a_stream_ends_with_what_was_withheld_and_done() -> None:
    withheld = [chunk(finish="stop"), chunk("late")]
    assert endings.stream(call(), withheld, read_stream(), RECORD, POSTED, PLAN) == b"".join(withheld) + DONE
    assert len(withheld) == 2


def test_a_stream_whose_usage_was_asked_for_has_it_in_a_chunk_before_done() -> None:
    finish = chunk(finish="stop")
    last = endings.stream(call(include_usage=True), [finish], read_stream(), RECORD, POSTED, PLAN)
    assert last.startswith(finish)
    assert last.endswith(b"\n\n" + DONE)
    said = value(last.removeprefix(finish).removesuffix(DONE).removeprefix(b"data: "))
    assert (said["id"], said["choices"], said["usage"]["cost"]) == ("chatcmpl-1", [], "0.0015")
    assert said["usage"]["prompt_tokens"] == 11
    assert said["tollway"]["balance_usd"] == "2.00"


def test_a_stream_that_was_nothing_but_done_still_has_its_usage_chunk() -> None:
    record = msgspec.structs.replace(RECORD, usage_origin="estimated")
    last = endings.stream(call(include_usage=True), [], Reading(1), record, POSTED, PLAN)
    assert value(last.removesuffix(DONE).removeprefix(b"data: "))["usage"]["prompt_tokens"] == 10


# --- answers that aren't


def test_a_client_that_left_is_told_nothing() -> None:
    problem = Interrupted("client_left")
    assert (endings.error_of(problem), endings.ended_by(problem)) == (None, "client_left")


def test_an_error_is_told_as_it_is() -> None:
    problem = NoProviderAvailable("none")
    assert (endings.error_of(problem), endings.ended_by(problem)) == (problem, "provider_failed")


@pytest.mark.parametrize(
    ("reason", "error"),
    [("drain", ShuttingDown), ("total", ProviderTimeout), ("slow_reader", ProviderTimeout), ("batch", InternalError)],
)
def test_a_call_that_the_router_cut_has_an_error_that_says_why(reason: Reason, error: type[TollwayError]) -> None:
    problem = Interrupted(reason)
    assert type(endings.error_of(problem)) is error
    assert endings.ended_by(problem) == "cut_by_router"


def test_every_reason_has_an_error() -> None:
    assert all(isinstance(endings.cut_error(reason), TollwayError) for reason in REASONS)


def test_a_request_that_does_not_arrive_is_the_clients_timeout_unless_the_router_shuts_down() -> None:
    assert type(endings.arrival_error("total")) is RequestTimeout
    assert type(endings.arrival_error("drain")) is ShuttingDown


@pytest.mark.parametrize(
    ("relayed", "error"),
    [
        (Relayed("provider_failed", [], fault=ProviderFault("cut", "secret")), ProviderFailed),
        (Relayed("provider_failed", [], fault=ProviderFault("idle_timeout", "secret")), ProviderTimeout),
        (Relayed("cut_by_router", [], stop="total"), ProviderTimeout),
        (Relayed("cut_by_router", [], stop="drain"), ShuttingDown),
    ],
)
def test_a_stream_that_is_not_whole_has_an_error_without_the_providers_words(
    relayed: Relayed, error: type[TollwayError]
) -> None:
    made = endings.relay_error(relayed)
    assert type(made) is error
    assert "secret" not in made.message


def test_a_whole_stream_has_no_error() -> None:
    with pytest.raises(AssertionError):
        endings.relay_error(Relayed("complete", []))
