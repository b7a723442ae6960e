"""The `provider` object: which preferences are read, and what a wrong one is answered."""

from typing import Any

import pytest

from helpers.requests import asked, parsed
from tollway.domain.call import MaxPrice, Percentiles, Preferences
from tollway.domain.errors import RequestError
from tollway.intake.schema import PREFERENCES


def refusal(provider: dict[str, Any]) -> RequestError:
    with pytest.raises(RequestError) as refused:
        asked(provider=provider)
    return refused.value


def max_price(text: str) -> MaxPrice | None:
    """What of `"max_price": {text}` is read, from the very bytes."""
    body = '{"model":"m","messages":[{"role":"user"}],"provider":{"max_price":{' + text
    return parsed(f"{body}}}}}}}".encode()).preferences.max_price


def test_every_preference_is_read() -> None:
    given = {
        "order": ["a"],
        "only": ["a", "b"],
        "ignore": ["c"],
        "allow_fallbacks": False,
        "sort": "latency",
        "require_parameters": True,
        "data_collection": "deny",
        "max_price": {"prompt": 1},
        "preferred_max_latency": 0.5,
        "preferred_min_throughput": {"p90": 20, "p99": None},
    }
    assert given.keys() == PREFERENCES.keys()
    assert asked(provider=given).preferences == Preferences(
        order=("a",),
        only=("a", "b"),
        ignore=("c",),
        allow_fallbacks=False,
        sort="latency",
        require_parameters=True,
        data_collection="deny",
        max_price=MaxPrice(prompt="1"),
        preferred_max_latency=Percentiles(p50=0.5),
        preferred_min_throughput=Percentiles(p90=20.0),
    )


@pytest.mark.parametrize("sort", ["price", "latency", "throughput"])
def test_what_can_be_sorted_by(sort: str) -> None:
    assert asked(provider={"sort": sort}).preferences.sort == sort


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("2.50", "2.50"),
        ('"2.50"', "2.50"),
        ("0", "0"),
        ("0.1000000000000001", "0.1000000000000001"),  # no float has it
        ("25e-1", "25e-1"),
        ("1E2", "1E2"),
    ],
)
def test_a_price_is_kept_as_it_was_written(written: str, kept: str) -> None:
    assert max_price(f'"completion": {written}') == MaxPrice(completion=kept)


def test_every_price_may_be_capped_and_null_caps_nothing() -> None:
    assert max_price('"prompt": 1, "completion": 2, "request": 3, "image": 4') == MaxPrice(
        prompt="1", completion="2", request="3", image="4"
    )
    assert max_price('"prompt": null') == MaxPrice()


@pytest.mark.parametrize(
    "written", ['"1,5"', "-1", '""', "true", "[1]", "1e999", "0.12345678901234567", '"1', "1" * 13]
)
def test_what_is_no_price_is_told(written: str) -> None:
    with pytest.raises(RequestError) as refused:
        max_price(f'"prompt": {written}')
    assert refused.value.status == 400
    if written != '"1':  # no JSON at all
        assert refused.value.param == "provider.max_price.prompt"
        assert "such as 2.50" in refused.value.message


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ({"sort": "speed"}, "provider.sort"),
        ({"sort": ["price"]}, "provider.sort"),
        ({"require_parameters": "yes"}, "provider.require_parameters"),
        ({"data_collection": "maybe"}, "provider.data_collection"),
        ({"data_collection": False}, "provider.data_collection"),
        ({"max_price": 1}, "provider.max_price"),
        ({"max_price": {"audio": 1}}, "provider.max_price.audio"),
        ({"preferred_max_latency": 0}, "provider.preferred_max_latency"),
        ({"preferred_max_latency": "1"}, "provider.preferred_max_latency"),
        ({"preferred_max_latency": {"p90": -1}}, "provider.preferred_max_latency.p90"),
        ({"preferred_min_throughput": {"p95": 1}}, "provider.preferred_min_throughput"),
        ({"quantizations": ["fp8"]}, "provider.quantizations"),
    ],
)
def test_a_preference_that_is_wrong_or_not_served_is_told(provider: dict[str, Any], param: str) -> None:
    assert refusal(provider).param == param
