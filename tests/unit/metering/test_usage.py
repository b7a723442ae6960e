"""Reading a provider's usage, and telling what is impossible."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.metered import call, candidate
from tollway.domain.usage import Usage
from tollway.metering.usage import check, parse_usage


def read(**members: Any) -> Usage | None:
    return parse_usage(json.dumps({"prompt_tokens": 10, "completion_tokens": 5} | members).encode())


def test_openais_usage_is_read_with_its_details() -> None:
    usage = read(
        total_tokens=15,
        prompt_tokens_details={"cached_tokens": 4, "cache_write_tokens": 3, "audio_tokens": 2, "text_tokens": 8},
        completion_tokens_details={"reasoning_tokens": 1, "audio_tokens": 2, "accepted_prediction_tokens": 0},
    )
    assert usage == Usage(prompt=10, completion=5, cached=4, cache_write=3, audio_input=2, reasoning=1, audio_output=2)


@pytest.mark.parametrize(
    ("members", "usage"),
    [
        ({}, Usage(prompt=10, completion=5)),
        ({"prompt_tokens": 12.0, "completion_tokens": 0.0}, Usage(prompt=12, completion=0)),
        (
            {"prompt_tokens_details": {"cached_tokens": 4.0}, "total_tokens": 15.0, "cost": 0.25},
            Usage(prompt=10, completion=5, cached=4),
        ),
        ({"prompt_tokens_details": None, "completion_tokens_details": None}, Usage(prompt=10, completion=5)),
        ({"prompt_tokens_details": {"cached_tokens": None}}, Usage(prompt=10, completion=5)),
        ({"prompt_tokens_details": {"cached_tokens": 0}, "cached_tokens": 4}, Usage(prompt=10, completion=5)),
        ({"cached_tokens": 4}, Usage(prompt=10, completion=5, cached=4)),
        ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}, Usage(prompt=10, completion=5, cached=4)),
        ({"cache_read_input_tokens": 4}, Usage(prompt=10, completion=5, cached=4)),
        ({"cache_creation_input_tokens": 4}, Usage(prompt=10, completion=5, cache_write=4)),
        ({"prompt_tokens_details": {"cache_creation_tokens": 4}}, Usage(prompt=10, completion=5, cache_write=4)),
        ({"prompt_tokens_details": {"cache_creation_input_tokens": 4}}, Usage(prompt=10, completion=5, cache_write=4)),
        ({"cost": "free", "vendor": [1, {"x": None}]}, Usage(prompt=10, completion=5)),
        ({"prompt_tokens": -1}, Usage(prompt=-1, completion=5)),
    ],
)
def test_the_spellings_of_other_providers_are_read(members: dict[str, Any], usage: Usage) -> None:
    assert read(**members) == usage


def test_reasoning_that_only_the_total_contains_is_part_of_the_completion() -> None:
    details = {"reasoning_tokens": 94}
    beside = read(total_tokens=109, completion_tokens_details=details)
    assert beside == Usage(prompt=10, completion=99, reasoning=94)
    within = read(completion_tokens=99, total_tokens=109, completion_tokens_details=details)
    assert within == beside


@pytest.mark.parametrize("wrong", ["5", 1.5, True, [], {}, None])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_is_no_whole_number_is_no_usage(name: str, wrong: Any) -> None:
    assert read(**{name: wrong}) is None


@pytest.mark.parametrize("wrong", ["5", 0.5, False, []])
def test_a_detail_that_is_no_whole_number_is_no_usage(wrong: Any) -> None:
    assert read(prompt_tokens_details={"cached_tokens": wrong}) is None
    assert read(completion_tokens_details={"reasoning_tokens": wrong}) is None
    assert read(prompt_tokens_details=wrong) is None
    assert read(prompt_tokens_details={"cached_tokens": 4}, cached_tokens=wrong) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"prompt_tokens":1}',
        b'{"prompt_tokens":NaN,"completion_tokens":1}',
        b'{"prompt_tokens":1e999,"completion_tokens":1}',
        b'{"prompt_tokens":' + b"9" * 5_000 + b',"completion_tokens":1}',
        b'{"prompt_tokens":1,"completion_tokens":1,"x":' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"prompt_tokens":"1","completion_tokens":1,"x":' + b'{"x":' * 490 + b"1" + b"}" * 491,
    ],
)
def test_what_is_no_usage_object_is_none(raw: bytes) -> None:
    assert parse_usage(raw) is None


@given(st.binary(max_size=40) | st.dictionaries(st.just("prompt_tokens"), st.floats()).map(json.dumps).map(str.encode))
def test_no_bytes_crash_the_reader(raw: bytes) -> None:
    parse_usage(raw)


TEXT = call(text_bytes=100, messages=2, n=2, max_tokens=50)
IMAGE = call(text_bytes=100, messages=2, n=2, max_tokens=50, parts=[("image_url", 1)])
SPOKEN = call(text_bytes=100, features=frozenset({"audio_output"}), parts=[("input_audio", 1)])
BOUND = 100 + 256 + 2 * 16


def usage(prompt: int = 100, completion: int = 100, **details: int) -> Usage:
    return Usage(prompt=prompt, completion=completion, **details)


@pytest.mark.parametrize(
    "possible",
    [
        usage(prompt=0, completion=0),
        usage(prompt=BOUND),
        usage(completion=100),
        usage(cached=60, cache_write=40),
        usage(reasoning=100),
    ],
)
def test_what_a_call_can_use_is_possible(possible: Usage) -> None:
    assert check(possible, TEXT, candidate()) is None


@pytest.mark.parametrize(
    ("impossible", "reason"),
    [
        (usage(prompt=-1), "negative"),
        (usage(completion=-1), "negative"),
        (usage(cached=-1), "negative"),
        (usage(prompt=BOUND + 1), "prompt_over_bound"),
        (usage(completion=101), "completion_over_limit"),
        (usage(cached=101), "cached_over_prompt"),
        (usage(cached=60, cache_write=41), "cached_over_prompt"),
        (usage(cache_write=101), "cached_over_prompt"),
        (usage(reasoning=101), "reasoning_over_completion"),
        (usage(audio_input=1), "audio_input_over_prompt"),
        (usage(audio_output=1), "audio_output_over_completion"),
        (usage(image_input=1), "image_input_over_prompt"),
        (usage(image_output=101), "image_output_over_completion"),
    ],
)
def test_what_no_call_can_use_is_impossible(impossible: Usage, reason: str) -> None:
    assert check(impossible, TEXT, candidate()) == reason


def test_a_prompt_with_other_parts_is_bounded_by_the_context_length() -> None:
    assert check(usage(prompt=8_000), IMAGE, candidate()) is None
    assert check(usage(prompt=8_001), IMAGE, candidate()) == "prompt_over_bound"


def test_audio_tokens_are_possible_where_audio_may_be() -> None:
    assert check(usage(audio_input=100, audio_output=100), SPOKEN, candidate()) is None
    assert check(usage(image_input=100, image_output=100), SPOKEN, candidate()) is None
    assert check(usage(image_input=101), SPOKEN, candidate()) == "image_input_over_prompt"
    assert check(usage(audio_input=101), SPOKEN, candidate()) == "audio_input_over_prompt"
    assert check(usage(audio_output=101), SPOKEN, candidate()) == "audio_output_over_completion"


def test_without_a_cap_the_models_own_limit_counts() -> None:
    free = call(text_bytes=100)
    assert check(usage(completion=1_000), free, candidate()) is None
    assert check(usage(completion=1_001), free, candidate()) == "completion_over_limit"


def test_a_limit_that_the_router_lowered_is_the_limit() -> None:
    assert check(usage(completion=20), TEXT, candidate(), 10) is None
    assert check(usage(completion=21), TEXT, candidate(), 10) == "completion_over_limit"


def test_image_tokens_are_read_of_both_ways() -> None:
    raw = b'{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"image_tokens":4},'
    raw += b'"completion_tokens_details":{"image_tokens":3}}'
    assert parse_usage(raw) == Usage(prompt=10, completion=5, image_input=4, image_output=3)
