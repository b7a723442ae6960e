"""What the router adds to an answer, and what of the provider's it overwrites."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.scripted import chunk, event
from tollway.domain.answer import AttemptRecord
from tollway.domain.money import AMOUNT_NANO_MAX, format_usd
from tollway.domain.usage import Usage
from tollway.egress.additions import PROVIDER_MONEY, Tollway, batch_body, usage_chunk, usage_object
from tollway.wire import json

TOLLWAY = Tollway(
    request_id="request-1",
    provider="p",
    model="m",
    balance_usd="1.00",
    attempts=(AttemptRecord(provider="p", model="m", outcome="ok", status=200),),
)
SPENT = Usage(prompt=10, completion=5, cached=4, reasoning=2, audio_input=1, audio_output=3)
COST = {"cost": "0.01"}


def read(value: bytes | msgspec.Raw) -> Any:
    return msgspec.json.decode(value)


def test_reported_usage_is_kept_as_it_is_with_our_cost() -> None:
    reported = b'{"prompt_tokens":10,"completion_tokens":5,"queue_time":0.10000000000000001,"x":{"y":1E2}}'
    assert json.encode(usage_object(reported, SPENT, "0.0015")) == reported[:-1] + b',"cost":"0.0015"}'


@pytest.mark.parametrize("name", PROVIDER_MONEY)
def test_what_the_provider_says_of_its_own_money_is_dropped(name: str) -> None:
    usage = read(json.encode(usage_object(json.encode({"prompt_tokens": 1, name: 99}), SPENT, "0.00")))
    assert usage == {"prompt_tokens": 1, "cost": "0.00"}


def test_our_own_count_is_said_in_openais_members() -> None:
    assert usage_object(None, SPENT, "0.00000001") == {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 2, "audio_tokens": 3},
        "cost": "0.00000001",
    }


@given(st.integers(0, AMOUNT_NANO_MAX))
def test_a_cost_is_a_decimal_string_that_no_float_has_touched(charged: int) -> None:
    assert usage_object(None, SPENT, format_usd(charged))["cost"] == format_usd(charged)


def test_a_batch_answer_keeps_its_members_byte_for_byte() -> None:
    fields = json.decode_fields(b'{"id":"1","choices":[{"logprobs":1.0e-300}],"usage":{"prompt_tokens":1},"x":null}')
    body = batch_body(fields, COST, TOLLWAY)
    assert body.startswith(b'{"id":"1","choices":[{"logprobs":1.0e-300}],"usage":{"cost":"0.01"},"x":null,"tollway":{')
    assert read(body)["tollway"] == {
        "request_id": "request-1",
        "provider": "p",
        "model": "m",
        "balance_usd": "1.00",
        "attempts": [{"provider": "p", "model": "m", "outcome": "ok", "status": 200}],
    }


def test_what_a_provider_says_in_our_name_is_overwritten() -> None:
    body = batch_body(json.decode_fields(b'{"tollway":{"balance_usd":"1000000"}}'), COST, TOLLWAY)
    assert read(body)["tollway"]["balance_usd"] == "1.00"
    assert body.count(b"tollway") == 1


def test_an_estimate_and_a_limit_that_was_lowered_are_said_when_there_are() -> None:
    lowered = msgspec.structs.replace(TOLLWAY, estimated=True, max_tokens_applied=7)
    said = read(batch_body({}, COST, lowered))["tollway"]
    assert (said["estimated"], said["max_tokens_applied"]) == (True, 7)


def usage_chunk_of(first: bytes) -> Any:
    made = usage_chunk(first, COST, TOLLWAY)
    assert made.startswith(b"data: ")
    assert made.endswith(b"\n\n")
    assert made.count(b"\n") == 2
    return read(made[6:])


@pytest.mark.parametrize("first", [chunk("a"), chunk("a").rstrip(), chunk("a").rstrip().replace(b"data: ", b"data:")])
def test_a_usage_chunk_has_what_all_chunks_of_the_stream_have(first: bytes) -> None:
    made = usage_chunk_of(first)
    assert made.pop("tollway")["balance_usd"] == "1.00"
    assert made == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "up",
        "choices": [],
        "usage": {"cost": "0.01"},
    }


def test_a_usage_chunk_has_nothing_else_of_the_first_event() -> None:
    first = event('{"id":"1","prompt_filter_results":[1],"obfuscation":"x","usage":{"cost":9},"choices":[{"index":0}]}')
    assert usage_chunk_of(first).keys() == {"id", "choices", "usage", "tollway"}


@pytest.mark.parametrize("first", [b"", b"data: [1]\n\n", b'data: {"torn', b"data: " + b"[" * 100_000])
def test_a_first_event_that_can_not_be_read_costs_the_chunk_its_id_and_nothing_else(first: bytes) -> None:
    assert usage_chunk_of(first).keys() == {"choices", "usage", "tollway"}


@given(st.binary())
def test_no_first_event_keeps_a_stream_from_its_end(first: bytes) -> None:
    assert {"choices", "usage", "tollway"} <= usage_chunk_of(first).keys()
