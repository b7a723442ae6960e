"""What a caller may wish for in `provider`, beyond names: sorts, caps, capabilities, and how fast."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from helpers.routes import call, candidate, catalog, price
from tollway.domain.call import Call, MaxPrice, Percentiles, Preferences, PromptSize
from tollway.domain.errors import ModelNotFound, NoProviderAvailable, ProviderNotFound
from tollway.domain.plan import Candidate, Performance, Plan
from tollway.domain.price import Price, Rates, Tariff, Tier
from tollway.routing.plan import plan
from tollway.routing.policy import Standing

WELL: dict[str, Standing] = {}


def asking(model: str = "acme/m", *fallbacks: str, **changes: Any) -> Call:
    """A call with further fields; those of Preferences go there."""
    wishes = {name: changes.pop(name) for name in Preferences.__struct_fields__ if name in changes}
    if "fields" in changes:
        changes["fields"] = dict.fromkeys(changes["fields"], msgspec.Raw(b"1"))
    changes["needs"] = frozenset(changes.get("needs", ()))
    return msgspec.structs.replace(call(model, *fallbacks), preferences=Preferences(**wishes), **changes)


def serving(provider: str, usd: int = 1, **changes: Any) -> Candidate:
    """A candidate for acme/m, unless `model` says otherwise."""
    model = changes.pop("model", "acme/m")
    for name in ("supports", "unsupported"):
        changes[name] = frozenset(changes.get(name, ()))
    return msgspec.structs.replace(candidate(provider, model, usd=usd), **changes)


def measures(figures: Mapping[str, Performance]) -> Any:
    return lambda provider, model: figures.get(provider)


def fast(latency: float | None = None, rate: float | None = None) -> Performance:
    return Performance(latency_s=Percentiles(p50=latency), tokens_per_s=Percentiles(p50=rate))


def providers(made: Plan) -> list[str]:
    return [c.provider for c in made.candidates]


def notes(made: Plan) -> dict[str, str | None]:
    return {verdict.candidate.partition(":")[0]: verdict.note for verdict in made.verdicts}


def refused(asked: Call, *candidates: Candidate) -> NoProviderAvailable:
    with pytest.raises(NoProviderAvailable) as caught:
        plan(asked, catalog(*candidates), WELL, seed=1)
    return caught.value


# --- sort

PRICED = catalog(serving("c", 3), serving("a", 1), serving("b", 2))


def test_sorted_by_price_the_cheapest_is_first_whatever_the_seed() -> None:
    for seed in range(100):
        assert providers(plan(asking(sort="price"), PRICED, WELL, seed=seed)) == ["a", "b", "c"]


def test_prices_are_compared_exactly_and_as_the_wallet_pays_them() -> None:
    def costing(provider: str, pico: int, markup_bps: int) -> Candidate:
        rates = Rates(input=pico, output=0)
        return serving(provider, tariff=Tariff(buy=Price(rates=rates), markup_bps=markup_bps))

    big = 10**17  # a float can't tell it from its neighbour
    made = catalog(costing("a", big + 1, 0), costing("b", big, 0), costing("c", 1, 9_999), costing("d", 2, 0))
    for seed in range(20):
        assert providers(plan(asking(sort="price"), made, WELL, seed=seed)) == ["c", "d", "b", "a"]


@pytest.mark.parametrize("sort", ["price", "latency", "throughput"])
def test_among_equals_a_sort_draws_as_no_sort_does(sort: str) -> None:
    made = catalog(*(serving(name) for name in "abcd"))
    for seed in range(50):
        assert plan(asking(sort=sort), made, WELL, seed=seed) == plan(asking(), made, WELL, seed=seed)


def test_among_equals_of_a_sort_first_choices_follow_one_over_price_squared() -> None:
    priced = {"a": 1, "b": 2, "c": 3, "d": 5}
    made = catalog(*(serving(name, usd) for name, usd in priced.items()))
    same = measures(dict.fromkeys(priced, fast(latency=0.5)))
    firsts = dict.fromkeys(priced, 0)
    for seed in range(8_000):
        firsts[plan(asking(sort="latency"), made, WELL, seed=seed, measured=same).candidates[0].provider] += 1
    total = sum(1 / usd**2 for usd in priced.values())
    expected = {name: 8_000 / usd**2 / total for name, usd in priced.items()}
    distance = sum((firsts[name] - expected[name]) ** 2 / expected[name] for name in priced)
    assert distance < 16.3  # chi-square, 3 degrees of freedom, p = 0.001


FIGURES = measures({"a": fast(0.9, 50.0), "b": fast(0.2, 10.0), "c": fast(0.5, 90.0)})


@pytest.mark.parametrize(("sort", "order"), [("latency", ["b", "c", "a"]), ("throughput", ["c", "a", "b"])])
def test_sorted_by_what_was_measured_the_best_median_is_first(sort: str, order: list[str]) -> None:
    for seed in range(20):
        assert providers(plan(asking(sort=sort), PRICED, WELL, seed=seed, measured=FIGURES)) == order


@pytest.mark.parametrize("sort", ["latency", "throughput"])
def test_who_was_not_measured_comes_after_those_who_were(sort: str) -> None:
    slow = measures({"c": fast(9.0, 1.0), "b": fast()})
    for seed in range(20):
        assert providers(plan(asking(sort=sort), PRICED, WELL, seed=seed, measured=slow))[0] == "c"


def test_what_was_measured_stands_in_the_verdict_and_only_where_it_was_asked_for() -> None:
    made = plan(asking(sort="latency"), PRICED, WELL, seed=1, measured=FIGURES)
    assert made.verdicts[0].performance == fast(0.2, 10.0)
    made = plan(asking(sort="price"), PRICED, WELL, seed=1, measured=FIGURES)
    assert {verdict.performance for verdict in made.verdicts} == {None}


def test_the_order_and_health_come_before_a_sort() -> None:
    made = plan(asking(sort="price", order=("c",)), PRICED, {"a:acme/m": "troubled"}, seed=1)
    assert providers(made) == ["c", "b", "a"]
    assert [verdict.standing for verdict in made.verdicts] == [None, None, "troubled"]


# --- suffixes


def test_floor_sorts_by_price_and_nitro_by_throughput() -> None:
    for seed in range(20):
        made = plan(asking("acme/m:floor"), PRICED, WELL, seed=seed, measured=FIGURES)
        assert providers(made) == ["a", "b", "c"]
        made = plan(asking("acme/m:nitro"), PRICED, WELL, seed=seed, measured=FIGURES)
        assert providers(made) == ["c", "a", "b"]


def test_a_suffix_is_its_own_entrys_and_comes_before_the_calls_sort() -> None:
    made = catalog(*(serving(name, usd, model=model) for model in ("v/x", "v/y") for name, usd in (("a", 1), ("c", 3))))
    for seed in range(20):
        asked = asking("v/x:nitro", "v/y", sort="price")
        tried = plan(asked, made, WELL, seed=seed, measured=FIGURES)
        assert [c.key for c in tried.candidates] == ["c:v/x", "a:v/x", "a:v/y", "c:v/y"]


def test_a_name_that_exists_whole_has_no_suffix() -> None:
    whole = [serving(name, usd, model="acme/m:floor") for name, usd in (("a", 1), ("b", 1))]
    made = catalog(*whole, serving("c", model="acme/m"), aliases={"fast:nitro": "acme/m"})
    firsts = {plan(asking("acme/m:floor"), made, WELL, seed=seed).candidates[0].key for seed in range(50)}
    assert firsts == {"a:acme/m:floor", "b:acme/m:floor"}
    assert made.resolve("fast:nitro").sort is None


def test_an_alias_and_a_pin_take_a_suffix() -> None:
    made = catalog(serving("a"), serving("b"), aliases={"m": "acme/m"})
    assert made.resolve("m:floor").sort == "price"
    pinned = made.resolve("b:acme/m:nitro")
    assert (pinned.pinned, pinned.sort) == ("b", "throughput")


@pytest.mark.parametrize("name", ["acme/x:floor", "a:x:nitro", "acme/m:turbo", ":floor"])
def test_a_suffix_makes_no_model_of_what_is_none(name: str) -> None:
    with pytest.raises(ModelNotFound):
        PRICED.resolve(name)


def test_what_was_not_found_comes_with_what_is_near() -> None:
    with pytest.raises(ModelNotFound) as caught:
        PRICED.resolve("acme/n:floor")
    assert caught.value.details == {"did_you_mean": ["acme/m"]}
    with pytest.raises(ProviderNotFound) as unknown:
        plan(asking(only=("aa",)), catalog(serving("a"), serving("aaa")), WELL, seed=1)
    assert unknown.value.details["did_you_mean"] == ["aaa", "a"]


# --- how fast


def test_who_is_slower_than_preferred_comes_last_and_is_not_left_out() -> None:
    asked = asking(preferred_max_latency=Percentiles(p50=0.4))
    for seed in range(20):
        made = plan(asked, PRICED, WELL, seed=seed, measured=FIGURES)
        assert providers(made)[0] == "b"
        assert len(made.candidates) == 3
    assert notes(made) == {"a": "over preferred_max_latency", "b": None, "c": "over preferred_max_latency"}


def test_who_writes_slower_than_preferred_comes_last() -> None:
    asked = asking(preferred_min_throughput=Percentiles(p50=80.0))
    made = plan(asked, PRICED, WELL, seed=1, measured=FIGURES)
    assert providers(made)[0] == "c"
    assert notes(made)["a"] == "under preferred_min_throughput"


def test_every_percentile_that_is_named_counts() -> None:
    figures = measures({"a": Performance(latency_s=Percentiles(p50=0.1, p75=0.2, p90=5.0, p99=9.0)), "b": fast(0.3)})
    asked = asking(preferred_max_latency=Percentiles(p50=1.0, p90=1.0))
    for seed in range(20):
        assert providers(plan(asked, PRICED, WELL, seed=seed, measured=figures))[2] == "a"


def test_who_was_not_measured_is_not_held_to_be_slow() -> None:
    slow = measures({"a": fast(9.0, 1.0)})
    asked = asking(preferred_max_latency=Percentiles(p50=1.0), preferred_min_throughput=Percentiles(p50=10.0))
    for seed in range(20):
        made = plan(asked, PRICED, WELL, seed=seed, measured=slow)
        assert providers(made)[2] == "a"
    assert notes(made)["a"] == "over preferred_max_latency, under preferred_min_throughput"


# --- max_price


def over(limits: MaxPrice, served: Candidate, **changes: Any) -> str | None:
    """What of the limits the candidate is over."""
    other = serving("other", 0)
    made = plan(asking(max_price=limits, **changes), catalog(served, other), WELL, seed=1)
    verdict = next(v for v in made.verdicts if v.candidate.startswith(served.provider))
    assert verdict.kept == (verdict.reason is None)
    assert verdict.reason in (None, "over_max_price")
    return verdict.note


def charging(input: int, output: int, **changes: Any) -> Candidate:
    """Rates in pico-USD a token: 1_000_000 is 1 USD per million."""
    markup_bps = changes.pop("markup_bps", 0)
    buy = Price(rates=Rates(input=input, output=output), **changes)
    return serving("a", tariff=Tariff(buy=buy, markup_bps=markup_bps), part_tokens={"image_url": 1_000})


def test_who_is_over_a_price_is_left_out_and_who_is_at_it_is_not() -> None:
    served = charging(2_500_000, 10_000_000)
    assert over(MaxPrice(prompt="2.5", completion="10"), served) is None
    assert over(MaxPrice(prompt="2.4999999999", completion="10"), served) == "prompt"
    assert over(MaxPrice(prompt="1e0", completion="1"), served) == "prompt, completion"


def test_the_markup_is_part_of_the_price_to_its_last_digit() -> None:
    served = charging(1, 0, markup_bps=1)  # 0.000001 USD per million tokens, and a ten-thousandth of it
    assert over(MaxPrice(prompt="0.0000010001"), served) is None
    assert over(MaxPrice(prompt="0.0000010000999999"), served) == "prompt"


def test_of_a_price_with_tiers_those_count_that_the_prompt_may_reach() -> None:
    served = charging(1_000_000, 0, tiers=(Tier(above=5_000, rates=Rates(input=3_000_000, output=0)),))
    assert over(MaxPrice(prompt="2"), served) is None
    long = PromptSize(text_bytes=6_000, messages=1)
    assert over(MaxPrice(prompt="2"), served, prompt=long) == "prompt"
    pictures = PromptSize(text_bytes=1, messages=1, parts=(("image_url", 5),))
    assert over(MaxPrice(prompt="2"), served, prompt=pictures) == "prompt"
    unknown = PromptSize(text_bytes=1, messages=1, parts=(("hologram", 1),))
    assert over(MaxPrice(prompt="2"), served, prompt=unknown) == "prompt"


def test_a_request_may_cost_at_most_so_much_beyond_its_tokens() -> None:
    served = charging(0, 0, features={"web_search": 10**10, "x": 10**10})
    free = MaxPrice(request="0.019")
    asked = asking(max_price=free, features=frozenset({"web_search"}))
    assert providers(plan(asked, catalog(served), WELL, seed=1)) == ["a"]
    error = refused(msgspec.structs.replace(asked, features=frozenset({"web_search", "x"})), served)
    assert error.details["candidates"] == [{"candidate": "a:acme/m", "reason": "over_max_price", "note": "request"}]


def test_an_image_may_cost_at_most_so_much() -> None:
    served = charging(1_000_000, 0)  # 1,000 tokens an image: 0.001 USD
    picture = PromptSize(text_bytes=1, messages=1, parts=(("image_url", 1),))
    assert over(MaxPrice(image="0.001"), served, prompt=picture) is None
    assert over(MaxPrice(image="0.0009"), served, prompt=picture) == "image"
    assert over(MaxPrice(image="0"), served) is None  # no image, no price of one


# --- data_collection


def test_who_may_keep_prompts_is_left_out_when_a_caller_denies_it() -> None:
    made = catalog(serving("a"), serving("b", data_collection="deny"))
    tried = plan(asking(data_collection="deny"), made, WELL, seed=1)
    assert providers(tried) == ["b"]
    assert tried.verdicts[1].reason == "collects_data"
    assert len(plan(asking(data_collection="allow"), made, WELL, seed=1).candidates) == 2


# --- capabilities

ABLE = serving("able", 9, supports=["tools", "structured_outputs", "vision"])
UNKNOWN = serving("unknown", 3)
UNABLE = serving("unable", 1, unsupported=["tools", "response_format", "vision"])
THREE = catalog(UNABLE, UNKNOWN, ABLE)


@pytest.mark.parametrize("need", ["tools", "response_format", "structured_outputs", "vision"])
def test_who_is_known_to_be_able_comes_first_and_who_is_known_not_to_be_last(need: str) -> None:
    for seed in range(20):
        made = plan(asking(needs=[need]), THREE, WELL, seed=seed)
        assert providers(made) == ["able", "unknown", "unable"]
    assert notes(made) == {"able": None, "unknown": f"not known to take {need}", "unable": f"without {need}"}


def test_what_is_merely_unknown_does_not_outweigh_trouble() -> None:
    made = plan(asking(needs=["tools"]), THREE, {"able:acme/m": "troubled"}, seed=1)
    assert providers(made) == ["unknown", "able", "unable"]


def test_a_field_that_is_not_taken_counts_as_well() -> None:
    made = catalog(serving("a", unsupported=["logprobs"]), serving("b"))
    tried = plan(asking(fields=["logprobs", "top_logprobs", "seed"]), made, WELL, seed=1)
    assert providers(tried) == ["b", "a"]
    assert notes(tried)["a"] == "without logprobs, top_logprobs"
    firsts = {providers(plan(asking(fields=["seed"]), made, WELL, seed=seed))[0] for seed in range(50)}
    assert firsts == {"a", "b"}  # drawn by price: what isn't asked for counts for nothing


def test_a_context_that_may_be_too_short_comes_after_one_that_is_not() -> None:
    made = catalog(
        serving("short", 1, context_length=1_000),
        serving("long", 9, context_length=100_000, part_tokens={"image_url": 1_000}),
    )
    fits = PromptSize(text_bytes=700, messages=1)
    assert providers(plan(asking(prompt=fits), made, WELL, seed=1)) == ["short", "long"]
    large = PromptSize(text_bytes=800, messages=1)
    tried = plan(asking(prompt=large), made, WELL, seed=1)
    assert providers(tried) == ["long", "short"]
    assert notes(tried)["short"] == "the prompt may not fit"
    pictures = PromptSize(text_bytes=1, messages=1, parts=(("image_url", 100),))
    tried = plan(asking(prompt=pictures, needs=["vision"]), made, WELL, seed=1)
    assert notes(tried)["long"] == "not known to take vision, the prompt may not fit"


# --- more choices than one


def test_who_gives_one_choice_is_sent_no_call_for_more() -> None:
    made = catalog(serving("one", one_choice=True), candidate("any"))
    told = plan(asking(n=2), made, WELL, seed=1)
    assert providers(told) == ["any"]
    assert [verdict.reason for verdict in told.verdicts if not verdict.kept] == ["one_choice"]
    assert sorted(providers(plan(asking(), made, WELL, seed=1))) == ["any", "one"]


def test_a_call_for_more_choices_than_anybody_gives_is_told_so() -> None:
    with pytest.raises(NoProviderAvailable, match="Change `n`") as caught:
        plan(asking(n=2), catalog(serving("one", one_choice=True)), WELL, seed=1)
    assert caught.value.details["would_fit"]["without"] == {"n": ["one:acme/m"]}


# --- require_parameters


def missing(served: Candidate, **changes: Any) -> str | None:
    """What keeps a candidate from a call with require_parameters; None when nothing does."""
    try:
        plan(asking(require_parameters=True, **changes), catalog(served), WELL, seed=1)
    except NoProviderAvailable as error:
        (told,) = error.details["candidates"]
        assert told["reason"] == "lacks_parameters"
        return told["note"]
    return None


def test_with_require_parameters_only_who_is_known_to_take_everything_serves() -> None:
    assert missing(UNKNOWN, fields=["model", "messages", "temperature", "max_tokens"]) is None
    assert missing(UNKNOWN, fields=["seed", "top_k"]) == "seed, top_k"
    assert missing(serving("a", supports=["seed"]), fields=["seed", "top_k"]) == "top_k"
    assert missing(serving("a", supports=["seed", "top_k"]), fields=["seed", "top_k"]) is None
    assert missing(ABLE, fields=["tools", "tool_choice", "parallel_tool_calls"], needs=["tools"]) is None
    assert missing(ABLE, fields=["response_format"], needs=["structured_outputs"]) is None
    assert missing(UNKNOWN, fields=["response_format"], needs=["structured_outputs"]) == "structured_outputs"
    assert missing(ABLE, needs=["vision", "audio"]) == "audio"


def test_with_require_parameters_an_ordinary_field_counts_where_it_is_not_taken() -> None:
    assert missing(serving("a", unsupported=["temperature"]), fields=["temperature"]) == "temperature"
    assert missing(serving("a", unsupported=["temperature"]), fields=["top_p"]) is None


# --- what would fit


def test_an_error_says_what_would_serve_without_one_of_the_preferences() -> None:
    served = [
        serving("a", 5),
        serving("b", 2, data_collection="deny"),
        serving("c", 9, data_collection="deny", context_length=64_000),
    ]
    asked = asking(only=("a", "c"), data_collection="deny", max_price=MaxPrice(prompt="3"))
    error = refused(asked, *served)
    assert error.details["would_fit"] == {
        "without": {"provider.only": ["b:acme/m"], "provider.max_price": ["c:acme/m"]},
        "lowest_price": {"candidate": "b:acme/m", "prompt": "2", "completion": "0"},
        "largest_context_length": 64_000,
    }
    assert "Change `provider.only` or `provider.max_price`, or choose" in error.message


def test_a_pin_is_one_of_the_things_to_change() -> None:
    error = refused(asking("a:acme/m", ignore=("a",)), serving("a"), serving("b"))
    assert error.details["would_fit"]["without"] == {"provider.ignore": ["a:acme/m"], "pin": ["b:acme/m"]}


def test_when_nobody_is_one_change_away_the_error_names_no_cure() -> None:
    error = refused(asking("a:acme/m", ignore=("a", "b"), data_collection="deny"), serving("a"), serving("b"))
    assert error.details["would_fit"]["without"] == {}
    assert "Change `provider` or the pin, or choose another model." in error.message


def test_the_lowest_price_is_exact() -> None:
    tariff = Tariff(buy=price(1), markup_bps=333)
    error = refused(asking(ignore=("a",)), serving("a", tariff=tariff))
    assert error.details["would_fit"]["lowest_price"]["prompt"] == "1.0333"
