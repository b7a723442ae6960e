"""A recorded decision comes out again: from the seed, what was asked, and what was known of everybody at the time."""

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.routes import candidate, catalog
from tollway.domain.asked import FIELD_NAME_MAX, PART_KINDS_MAX, Asked
from tollway.domain.call import NO_PREFERENCES, Call, MaxPrice, Percentiles, Preferences, PromptSize
from tollway.domain.errors import TollwayError
from tollway.domain.plan import Performance, Verdict
from tollway.routing.plan import narrow, plan
from tollway.routing.replay import differences, replay

PROVIDERS = ["p0", "p1", "p2", "p3"]
MODELS = ["v/a", "v/b"]
FIELDS = ["seed", "logprobs", "tools", "temperature"]


def record(call: Call, verdicts: tuple[Verdict, ...]) -> tuple[Asked, tuple[Verdict, ...]]:
    """As it comes back from GET /generations/{id}."""
    told = msgspec.json.encode((Asked.of(call), verdicts))
    return msgspec.json.decode(told, type=tuple[Asked, tuple[Verdict, ...]])


@st.composite
def calls(draw: st.DrawFn) -> Call:
    some = st.lists(st.sampled_from(PROVIDERS), max_size=2).map(tuple)
    levels = st.none() | st.builds(Percentiles, p50=st.none() | st.floats(0.1, 10), p90=st.none() | st.floats(0.1, 10))
    chosen = st.builds(
        Preferences,
        order=some,
        ignore=some,
        sort=st.sampled_from([None, "price", "latency", "throughput"]),
        allow_fallbacks=st.booleans(),
        data_collection=st.sampled_from(["allow", "allow", "deny"]),
        max_price=st.none() | st.builds(MaxPrice, prompt=st.sampled_from(["1", "20.5"])),
        preferred_max_latency=levels,
        preferred_min_throughput=levels,
    )
    names = st.sampled_from([*MODELS, "v/a:floor", "v/b:nitro"])
    return Call(
        id="call",
        model=draw(names),
        fallbacks=tuple(draw(st.lists(names, max_size=2))),
        preferences=draw(st.just(NO_PREFERENCES) | chosen),
        needs=frozenset(draw(st.lists(st.sampled_from(["tools", "vision"]), max_size=2))),
        prompt=PromptSize(
            text_bytes=draw(st.integers(1, 10_000)),
            messages=1,
            parts=draw(st.sampled_from([(), (("image_url", 2),)])),
        ),
        fields=dict.fromkeys(draw(st.lists(st.sampled_from(FIELDS), unique=True)), msgspec.Raw(b"1")),
        request_hash="",
    )


def served(draw: st.DrawFn) -> Any:
    words = st.frozensets(st.sampled_from(["tools", "vision", "logprobs"]))
    return catalog(
        *(
            msgspec.structs.replace(
                candidate(provider, model, usd=draw(st.integers(0, 30))),
                supports=draw(words),
                unsupported=draw(words),
                data_collection=draw(st.sampled_from(["allow", "deny"])),
                part_tokens={"image_url": 100},
            )
            for model in MODELS
            for provider in PROVIDERS
        )
    )


figures = st.none() | st.builds(
    Performance,
    latency_s=st.builds(Percentiles, p50=st.none() | st.floats(0, 10), p90=st.none() | st.floats(0, 10)),
    tokens_per_s=st.builds(Percentiles, p50=st.none() | st.floats(0, 500)),
)


@settings(max_examples=200)
@given(st.data(), calls(), st.integers(0, 2**53 - 1))
def test_a_decision_comes_out_again_from_its_record(data: st.DataObject, call: Call, seed: int) -> None:
    made = served(data.draw)
    keys = [f"{provider}:{model}" for model in MODELS for provider in PROVIDERS]
    standings = data.draw(st.dictionaries(st.sampled_from(keys), st.sampled_from(["troubled", "cooling", "probing"])))
    known = data.draw(st.fixed_dictionaries(dict.fromkeys(keys, figures)))
    try:
        whole = plan(call, made, standings, seed=seed, measured=lambda p, m: known[f"{p}:{m}"])
    except TollwayError:
        return
    held = data.draw(st.sets(st.sampled_from(keys)))
    dear = data.draw(st.sets(st.sampled_from(keys)))
    full = data.draw(st.sets(st.sampled_from(keys)))
    final = narrow(narrow(narrow(whole, full, "at_limit"), dear, "beyond_max_cost"), held, "beyond_the_hold")
    asked, verdicts = record(call, final.verdicts)
    again = replay(asked.call(call.model), made, verdicts, seed=seed)
    assert again == final
    assert differences(verdicts, again.verdicts) == []


def test_a_thousand_seeds_give_a_thousand_plans_twice() -> None:
    made = catalog(*(candidate(f"p{n}", usd=n + 1) for n in range(6)))
    call = Asked(text_bytes=1, messages=1).call("acme/m")
    orders = set()
    for seed in range(1_000):
        first = plan(call, made, {}, seed=seed)
        asked, verdicts = record(call, first.verdicts)
        assert replay(asked.call("acme/m"), made, verdicts, seed=seed) == first
        orders.add(tuple(c.provider for c in first.candidates))
    assert len(orders) > 100


def test_what_differs_is_told_candidate_by_candidate() -> None:
    call = Asked(text_bytes=1, messages=1).call("acme/m")
    then = plan(call, catalog(candidate("a"), candidate("b")), {}, seed=1)
    now = replay(call, catalog(candidate("b", usd=7), candidate("c")), then.verdicts, seed=1)
    told = {
        d.candidate: (d.recorded is not None, d.replayed is not None) for d in differences(then.verdicts, now.verdicts)
    }
    assert told == {"a:acme/m": (True, False), "b:acme/m": (True, True), "c:acme/m": (False, True)}


def test_a_record_stays_small_whatever_is_asked() -> None:
    call = msgspec.structs.replace(
        Asked(text_bytes=1, messages=1).call("acme/m"),
        fields={"x" * FIELD_NAME_MAX: msgspec.Raw(b"1"), "y" * (FIELD_NAME_MAX + 1): msgspec.Raw(b"1")},
        prompt=PromptSize(text_bytes=1, messages=1, parts=tuple((f"k{n:03}", 1) for n in range(PART_KINDS_MAX + 1))),
        features=frozenset({"b", "a"}),
    )
    asked = Asked.of(call)
    assert asked.fields == ("x" * FIELD_NAME_MAX,)
    assert list(asked.parts) == [f"k{n:03}" for n in range(PART_KINDS_MAX)]
    assert asked.features == ("a", "b")


def test_an_ordinary_call_is_recorded_in_few_bytes() -> None:
    call = Asked(fields=("model", "messages"), text_bytes=12, messages=1).call("acme/m")
    assert msgspec.json.encode(Asked.of(call)) == b'{"fields":["model","messages"],"text_bytes":12,"messages":1}'
