import subprocess
import sys
from types import FrameType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.routes import call, candidate, catalog
from tollway.domain.call import Call, Preferences
from tollway.domain.errors import ModelNotFound, NoProviderAvailable, ProviderNotFound, TollwayError, UnpricedFeature
from tollway.domain.plan import Plan
from tollway.routing.catalog import Catalog
from tollway.routing.explain import REASONS
from tollway.routing.plan import MAX_CANDIDATES, narrow, plan
from tollway.routing.policy import FILTERS, Standing
from tollway.routing.route import draw, route_of

WELL: dict[str, Standing] = {}
THREE = catalog(candidate("a"), candidate("b"), candidate("c"))


def order(made: Plan) -> list[str]:
    return [c.key for c in made.candidates]


def providers(made: Plan) -> list[str]:
    return [c.provider for c in made.candidates]


def reasons(made: Plan) -> dict[str, str | None]:
    return {verdict.candidate: verdict.reason for verdict in made.verdicts}


# --- the default order


def test_all_that_serve_the_model_are_tried() -> None:
    made = plan(call(), THREE, WELL, seed=7)
    assert sorted(providers(made)) == ["a", "b", "c"]
    assert made.seed == 7


def test_first_choices_follow_one_over_price_squared() -> None:
    priced = {"a": 1, "b": 2, "c": 3, "d": 5}
    made = catalog(*(candidate(name, usd=usd) for name, usd in priced.items()))
    firsts = dict.fromkeys(priced, 0)
    calls = 8_000
    for seed in range(calls):
        firsts[plan(call(), made, WELL, seed=seed).candidates[0].provider] += 1
    total = sum(1 / usd**2 for usd in priced.values())
    expected = {name: calls / usd**2 / total for name, usd in priced.items()}
    distance = sum((firsts[name] - expected[name]) ** 2 / expected[name] for name in priced)
    assert distance < 16.3  # chi-square, 3 degrees of freedom, p = 0.001


def test_fallbacks_are_drawn_among_the_rest_with_the_same_weights() -> None:
    made = catalog(candidate("a", usd=1), candidate("b", usd=1), candidate("c", usd=2))
    after_a = {"b": 0, "c": 0}
    for seed in range(8_000):
        first, second, _ = providers(plan(call(), made, WELL, seed=seed))
        if first == "a":
            after_a[second] += 1
    total = sum(after_a.values())
    expected = {"b": total * 4 / 5, "c": total / 5}
    assert sum((after_a[n] - expected[n]) ** 2 / expected[n] for n in after_a) < 10.8  # 1 degree of freedom, p = 0.001


def test_a_free_candidate_comes_first_almost_always_but_not_by_decree() -> None:
    made = catalog(candidate("free", usd=0), candidate("paid", usd=1))
    firsts = [plan(call(), made, WELL, seed=seed).candidates[0].provider for seed in range(2_000)]
    assert firsts.count("free") > 1_990
    assert plan(call(), made, {"free:acme/m": "troubled"}, seed=0).candidates[0].provider == "paid"


def test_those_in_trouble_come_after_the_well_and_those_cooling_down_last() -> None:
    made = catalog(candidate("a", usd=0), candidate("b", usd=0), candidate("c", usd=9), candidate("d", usd=9))
    standings: dict[str, Standing] = {"a:acme/m": "cooling", "b:acme/m": "troubled"}
    for seed in range(50):
        tried = providers(plan(call(), made, standings, seed=seed))
        assert sorted(tried[:2]) == ["c", "d"]
        assert tried[2:] == ["b", "a"]


def test_leaving_one_candidate_out_does_not_reorder_the_others() -> None:
    made = catalog(*(candidate(name) for name in "abcdef"))
    for seed in range(50):
        whole = providers(plan(call(), made, WELL, seed=seed))
        assert providers(plan(call(ignore=["c"]), made, WELL, seed=seed)) == [p for p in whole if p != "c"]


# --- what the caller prefers


def test_only_the_providers_of_only_are_tried() -> None:
    made = plan(call(only=["c", "a"]), THREE, WELL, seed=1)
    assert sorted(providers(made)) == ["a", "c"]
    assert reasons(made)["b:acme/m"] == "not_in_only"


def test_ignored_providers_are_not_tried() -> None:
    made = plan(call(ignore=["c", "a"]), THREE, WELL, seed=1)
    assert providers(made) == ["b"]
    assert reasons(made) == {"a:acme/m": "ignored", "b:acme/m": None, "c:acme/m": "ignored"}


def test_the_order_given_comes_first_and_the_others_after_it() -> None:
    made = catalog(*(candidate(name) for name in "abcde"))
    for seed in range(20):
        tried = providers(plan(call(order=["d", "b"]), made, WELL, seed=seed))
        assert tried[:2] == ["d", "b"]
        assert sorted(tried[2:]) == ["a", "c", "e"]


def test_health_does_not_overrule_the_order_given() -> None:
    standings: dict[str, Standing] = {"c:acme/m": "cooling", "b:acme/m": "troubled", "a:acme/m": "troubled"}
    made = plan(call(order=["c", "b"]), THREE, standings, seed=1)
    assert providers(made) == ["c", "b", "a"]
    assert [verdict.note for verdict in made.verdicts] == ["ordered, cooling", "ordered, troubled", "troubled"]


def test_without_fallbacks_only_the_first_choice_is_tried() -> None:
    for seed in range(20):
        whole = plan(call("acme/m"), THREE, WELL, seed=seed)
        made = plan(call("acme/m", allow_fallbacks=False), THREE, WELL, seed=seed)
        assert made.candidates == whole.candidates[:1]
        assert sorted(map(str, reasons(made).values())) == ["None", "fallbacks_not_allowed", "fallbacks_not_allowed"]


def test_without_fallbacks_whoever_the_order_does_not_list_is_not_tried() -> None:
    made = plan(call(order=["b"], allow_fallbacks=False), THREE, WELL, seed=1)
    assert reasons(made) == {"a:acme/m": "not_in_order", "b:acme/m": None, "c:acme/m": "not_in_order"}
    elsewhere = catalog(candidate("a"), providers=["b"])
    with pytest.raises(NoProviderAvailable):
        plan(call(order=["b"], allow_fallbacks=False), elsewhere, WELL, seed=1)


def test_a_provider_listed_twice_in_the_order_has_its_first_place() -> None:
    assert providers(plan(call(order=["b", "c", "b"]), THREE, WELL, seed=1)) == ["b", "c", "a"]


def test_an_unknown_provider_in_a_preference_is_told() -> None:
    with pytest.raises(ProviderNotFound) as caught:
        plan(call(only=["nobody"]), THREE, WELL, seed=1)
    assert caught.value.param == "provider.only[0]"


# --- several models, pins

MANY = catalog(
    candidate("a", "acme/m"),
    candidate("b", "acme/m"),
    candidate("a", "acme/n"),
    candidate("b", "acme/n"),
    candidate("c", "acme/o"),
    aliases={"n": "acme/n"},
)


def test_each_fallback_model_comes_after_all_candidates_of_the_one_before() -> None:
    for seed in range(20):
        made = plan(call("acme/o", "n", "acme/m"), MANY, WELL, seed=seed)
        assert [c.model for c in made.candidates] == ["acme/o", "acme/n", "acme/n", "acme/m", "acme/m"]


def test_trouble_reorders_within_a_model_and_never_across_models() -> None:
    made = plan(call("acme/o", "acme/m"), MANY, {"c:acme/o": "cooling", "a:acme/m": "troubled"}, seed=1)
    assert order(made) == ["c:acme/o", "b:acme/m", "a:acme/m"]


def test_a_pin_binds_its_own_entry_only() -> None:
    made = plan(call("b:acme/m", "acme/n"), MANY, WELL, seed=1)
    assert order(made)[0] == "b:acme/m"
    assert sorted(order(made)[1:]) == ["a:acme/n", "b:acme/n"]
    assert reasons(made)["a:acme/m"] == "not_pinned"


def test_a_pinned_candidate_may_be_followed_by_the_rest_of_its_model() -> None:
    for seed in range(20):
        assert order(plan(call("b:acme/m", "acme/m"), MANY, WELL, seed=seed)) == ["b:acme/m", "a:acme/m"]


def test_a_candidate_named_twice_is_tried_once_in_its_first_place() -> None:
    made = plan(call("acme/m", "a:acme/m", "acme/m", "acme/o"), MANY, WELL, seed=1)
    assert sorted(order(made)[:2]) == ["a:acme/m", "b:acme/m"]
    assert order(made)[2:] == ["c:acme/o"]


def test_only_and_ignore_apply_to_pins_and_fallbacks_too() -> None:
    made = plan(call("b:acme/m", "acme/n", "acme/o", ignore=["b"]), MANY, WELL, seed=1)
    assert order(made) == ["a:acme/n", "c:acme/o"]
    assert reasons(made)["b:acme/m"] == "ignored"
    assert order(plan(call("b:acme/m", "acme/o", only=["c"]), MANY, WELL, seed=1)) == ["c:acme/o"]


def test_the_order_given_applies_within_each_model() -> None:
    made = plan(call("acme/m", "acme/n", order=["b"]), MANY, WELL, seed=1)
    assert order(made) == ["b:acme/m", "a:acme/m", "b:acme/n", "a:acme/n"]


@pytest.mark.parametrize("unknown", ["acme/x", "c:acme/m"])
def test_an_unknown_fallback_is_told_even_when_the_model_could_serve(unknown: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        plan(call("acme/m", "acme/n", "acme/o", unknown), MANY, WELL, seed=1)
    assert caught.value.param == "models[2]"


def test_an_unknown_model_is_told_even_when_a_fallback_could_serve() -> None:
    with pytest.raises(ModelNotFound) as caught:
        plan(call("acme/x", "acme/m"), MANY, WELL, seed=1)
    assert caught.value.param == "model"


# --- what costs beyond tokens

SEARCHING = catalog(candidate("a", features=["web_search"]), candidate("b"), candidate("b", "acme/n"))


def test_candidates_without_a_rate_for_a_feature_are_not_tried() -> None:
    made = plan(call(features=["web_search"]), SEARCHING, WELL, seed=1)
    assert providers(made) == ["a"]
    assert made.verdicts[1].reason == "unpriced_feature"
    assert made.verdicts[1].note == "web_search"


def test_when_nobody_left_has_a_rate_the_call_is_refused_for_the_feature() -> None:
    with pytest.raises(UnpricedFeature, match="asks for plugins, web_search, and nobody") as caught:
        plan(call(features=["web_search", "plugins"]), SEARCHING, WELL, seed=1)
    assert caught.value.status == 400
    assert caught.value.details["candidates"] == [
        {"candidate": "a:acme/m", "reason": "unpriced_feature", "note": "plugins"},
        {"candidate": "b:acme/m", "reason": "unpriced_feature", "note": "plugins, web_search"},
    ]


def test_when_the_preferences_left_only_candidates_without_a_rate_the_feature_is_the_reason() -> None:
    with pytest.raises(UnpricedFeature):
        plan(call(features=["web_search"], ignore=["a"]), SEARCHING, WELL, seed=1)


def test_when_the_preferences_left_nobody_the_feature_is_not_the_reason() -> None:
    with pytest.raises(NoProviderAvailable):
        plan(call("a:acme/m", features=["web_search"], ignore=["a"]), SEARCHING, WELL, seed=1)


def test_a_fallback_model_with_a_rate_serves_when_the_first_has_none() -> None:
    made = plan(call("acme/n", "acme/m", features=["web_search"]), SEARCHING, WELL, seed=1)
    assert order(made) == ["a:acme/m"]


# --- none left, too many


def test_when_nobody_is_left_the_error_says_why_of_each() -> None:
    with pytest.raises(NoProviderAvailable) as caught:
        plan(call("a:acme/m", ignore=["a"]), THREE, WELL, seed=1)
    assert caught.value.status == 503
    assert caught.value.should_retry is False
    assert caught.value.details["candidates"] == [
        {"candidate": "a:acme/m", "reason": "ignored"},
        {"candidate": "b:acme/m", "reason": "not_pinned"},
        {"candidate": "c:acme/m", "reason": "not_pinned"},
    ]
    assert "a:acme/m was left out: `provider.ignore` lists it." in caught.value.message


def test_the_number_of_attempts_is_bounded() -> None:
    made = plan(call(), catalog(*(candidate(f"p{n}") for n in range(40))), WELL, seed=1)
    assert len(made.candidates) == MAX_CANDIDATES
    assert list(reasons(made).values()).count("too_many") == 40 - MAX_CANDIDATES


def test_a_model_with_many_providers_leaves_its_fallbacks_a_place_each() -> None:
    many = [candidate(f"p{n}") for n in range(40)]
    made = catalog(*many, candidate("x", "acme/n"), candidate("x", "acme/o"), candidate("y", "acme/o"))
    tried = plan(call("acme/m", "acme/n", "acme/o"), made, WELL, seed=1)
    assert len(tried.candidates) == MAX_CANDIDATES
    assert [c.model for c in tried.candidates[-2:]] == ["acme/n", "acme/o"]


# --- the explanation


def test_a_verdict_carries_rank_weight_and_draw_in_the_order_tried() -> None:
    made = plan(call(), catalog(candidate("a", usd=2), candidate("b")), WELL, seed=5)
    assert [v.candidate for v in made.verdicts] == order(made)
    assert [v.rank for v in made.verdicts] == [1, 2]
    for verdict, tried in zip(made.verdicts, made.candidates, strict=True):
        route = route_of(tried)
        assert (verdict.kept, verdict.reason, verdict.note) == (True, None, None)
        assert (verdict.weight, verdict.draw) == (route.weight, draw(5, route.salt))


def test_every_filters_reason_is_explained() -> None:
    assert {row.reason for row in FILTERS} <= REASONS.keys()


# --- narrowing


def test_narrowing_drops_candidates_and_says_so() -> None:
    whole = plan(call(), catalog(*(candidate(name) for name in "abcd")), WELL, seed=1)
    first, second, third, fourth = order(whole)
    made = narrow(whole, {first, third, "x:y"})
    assert order(made) == [second, fourth]
    assert made.seed == whole.seed
    assert [(v.candidate, v.kept, v.rank, v.reason) for v in made.verdicts] == [
        (first, False, None, "beyond_the_hold"),
        (second, True, 1, None),
        (third, False, None, "beyond_the_hold"),
        (fourth, True, 2, None),
    ]
    assert [v.draw for v in made.verdicts] == [v.draw for v in whole.verdicts]


def test_narrowing_keeps_the_reason_of_what_was_refused_before() -> None:
    made = narrow(plan(call(ignore=["a"]), THREE, WELL, seed=1), {"a:acme/m", "b:acme/m"}, "other")
    assert reasons(made) == {"a:acme/m": "ignored", "b:acme/m": "other", "c:acme/m": None}


def test_narrowing_keeps_the_caps_of_those_that_stay() -> None:
    capped = msgspec.structs.replace(plan(call(), THREE, WELL, seed=1), caps={"a:acme/m": 5, "b:acme/m": 9})
    assert narrow(capped, ["a:acme/m"]).caps == {"b:acme/m": 9}


def test_narrowing_by_nothing_changes_nothing() -> None:
    whole = plan(call(ignore=["a"]), THREE, WELL, seed=1)
    assert narrow(whole, ()) == whole


# --- properties

PROVIDERS = ["p0", "p1", "p2", "p3"]
MODELS = ["v/a", "v/b", "v/c"]


@st.composite
def situations(draw: st.DrawFn) -> tuple[Call, Catalog, dict[str, Standing], int]:
    pairs = [(p, m) for m in MODELS for p in PROVIDERS]
    served = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1))
    made = catalog(
        *(
            candidate(p, m, usd=draw(st.integers(0, 50)), features=draw(st.sampled_from([(), ("web_search",)])))
            for p, m in served
        ),
        providers=PROVIDERS,
    )
    names = st.sampled_from([m for _, m in served] + [f"{p}:{m}" for p, m in served])
    some = st.lists(st.sampled_from(PROVIDERS), max_size=3)
    asked = call(
        draw(names),
        *draw(st.lists(names, max_size=8)),
        order=draw(some),
        only=draw(some),
        ignore=draw(some),
        allow_fallbacks=draw(st.booleans()),
        features=draw(st.sampled_from([(), ("web_search",)])),
    )
    keys = st.sampled_from([f"{p}:{m}" for p, m in served])
    standings = draw(st.dictionaries(keys, st.sampled_from(["troubled", "cooling", "probing"])))
    return asked, made, standings, draw(st.integers(0, 2**63))


def outcome(asked: Call, made: Catalog, standings: dict[str, Standing], seed: int) -> Plan | TollwayError:
    try:
        return plan(asked, made, standings, seed=seed)
    except (NoProviderAvailable, UnpricedFeature) as error:
        return error


@given(situations())
def test_the_same_inputs_and_seed_give_an_equal_plan(situation: tuple) -> None:
    one, two = outcome(*situation), outcome(*situation)
    if isinstance(one, TollwayError):
        assert isinstance(two, TollwayError)
        assert (one.message, one.details) == (two.message, two.details)
    else:
        assert one == two


@given(situations())
def test_no_candidate_of_a_model_named_is_lost_or_doubled(situation: tuple) -> None:
    asked, made, _, _ = situation
    named = {made.resolve(name).model.id for name in (asked.model, *asked.fallbacks)}
    every = sorted(c.key for model in named for c in made.models[model].candidates)
    got = outcome(*situation)
    if isinstance(got, TollwayError):
        assert sorted(entry["candidate"] for entry in got.details["candidates"]) == every
    else:
        assert sorted(v.candidate for v in got.verdicts) == every
        assert [v.candidate for v in got.verdicts if v.kept] == order(got)
        assert all(v.kept or v.reason in REASONS for v in got.verdicts)
        assert 1 <= len(got.candidates) <= MAX_CANDIDATES


@given(situations())
def test_preferences_are_kept_to_and_the_order_is_respected_within_each_model(situation: tuple) -> None:
    asked, made, standings, _ = situation
    got = outcome(*situation)
    if isinstance(got, TollwayError):
        return
    preferences: Preferences = asked.preferences
    models = list(dict.fromkeys(made.resolve(name).model.id for name in (asked.model, *asked.fallbacks)))
    pins = any(made.resolve(name).pinned for name in (asked.model, *asked.fallbacks))
    places = []
    for tried in got.candidates:
        assert not preferences.only or tried.provider in preferences.only
        assert tried.provider not in preferences.ignore
        assert asked.features <= tried.tariff.buy.features.keys()
        listed = tried.provider in preferences.order
        place = preferences.order.index(tried.provider) if listed else len(preferences.order)
        standing = {None: 0, "probing": 0, "troubled": 1, "cooling": 2}[standings.get(tried.key)]
        places.append((models.index(tried.model), place, standing))
    assert pins or places == sorted(places)
    assert preferences.allow_fallbacks or len(got.candidates) == 1


@given(situations(), st.sets(st.sampled_from([f"{p}:{m}" for m in MODELS for p in PROVIDERS])))
def test_narrowing_keeps_the_order_and_every_verdict(situation: tuple, dropped: set[str]) -> None:
    whole = outcome(*situation)
    if isinstance(whole, TollwayError):
        return
    made = narrow(whole, dropped)
    assert order(made) == [key for key in order(whole) if key not in dropped]
    assert [v.candidate for v in made.verdicts] == [v.candidate for v in whole.verdicts]
    assert [v.candidate for v in made.verdicts if v.kept] == order(made)
    assert [v.rank for v in made.verdicts if v.kept] == list(range(1, len(made.candidates) + 1))


# --- in any process, in any catalog

SCRIPT = """
import sys
sys.path[:0] = sys.argv[1:]
from helpers.routes import call, candidate, catalog
from tollway.routing.plan import plan
import msgspec
made = catalog(*(candidate(f"p{n}", usd=n % 5, features=["y", "x"][n % 2:]) for n in range(30)))
asked = call(ignore=["p3", "p9"], order=["p4"], features=["x"])
for seed in range(5):
    print(msgspec.json.encode(plan(asked, made, {"p8:acme/m": "troubled"}, seed=seed)).decode())
"""


def test_another_process_with_another_hash_seed_makes_the_same_plan() -> None:
    def planned(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", SCRIPT, *sys.path],
            env={"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout

    one = planned("1")
    assert one == planned("2")
    assert len({msgspec.json.encode(msgspec.json.decode(line)["candidates"]) for line in one.splitlines()}) > 1


def test_a_plan_for_one_model_does_the_same_work_in_any_catalog() -> None:
    def calls_made(made: Catalog) -> int:
        count = 0

        def counted(frame: FrameType, *_: object) -> None:
            nonlocal count
            count += frame.f_globals["__name__"].startswith("tollway.")  # not what a garbage collection calls

        asked = call("b:m", "acme/m", order=["a"], ignore=["c"])
        before = sys.getprofile()
        sys.setprofile(counted)
        try:
            plan(asked, made, WELL, seed=1)
        finally:
            sys.setprofile(before)
        return count

    mine = [candidate(name) for name in "abc"]
    others = [candidate(f"p{p}", f"v/{m}") for p in range(30) for m in range(100)]
    assert calls_made(catalog(*mine)) == calls_made(catalog(*others, *mine))
