from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.routes import candidate, price
from tollway.domain.price import Price, Rates, Tariff
from tollway.routing.route import PRICE_FLOOR, draw, route_of, weight_of


def test_a_weight_is_one_over_the_square_of_the_price() -> None:
    assert weight_of(Tariff(buy=price(1))) == 1.0
    assert weight_of(Tariff(buy=price(2))) == 1 / 4
    assert weight_of(Tariff(buy=price(10))) == pytest.approx(1 / 100)


def test_the_price_is_input_and_output_together() -> None:
    assert weight_of(Tariff(buy=Price(rates=Rates(input=500_000, output=1_500_000)))) == 1 / 4


def test_the_price_is_what_the_wallet_pays_and_not_what_the_provider_is_owed() -> None:
    assert weight_of(Tariff(buy=price(1), markup_bps=10_000)) == 1 / 4
    assert weight_of(Tariff(buy=price(1), sell=price(4), markup_bps=10_000)) == 1 / 16


def test_a_free_candidate_weighs_as_much_as_one_at_the_floor() -> None:
    floor = weight_of(Tariff(buy=Price(rates=Rates(input=PRICE_FLOOR, output=0))))
    assert weight_of(Tariff(buy=price(0))) == floor == 10_000


@given(st.integers(0, 10**18), st.integers(0, 10**18), st.integers(0, 10**6))
def test_a_weight_is_over_zero_and_finite(input: int, output: int, markup: int) -> None:
    weight = weight_of(Tariff(buy=Price(rates=Rates(input=input, output=output)), markup_bps=markup))
    assert 0 < weight <= 10_000


def test_a_feature_is_priced_when_both_its_cost_and_its_price_are_known() -> None:
    assert route_of(candidate("a", features=["web_search", "x"])).features == {"web_search", "x"}
    both = Tariff(buy=price(1, features=["web_search", "x"]), sell=price(1, features=["x", "y"]))
    apart = candidate("a")
    made = type(apart)(**{f: getattr(apart, f) for f in apart.__struct_fields__} | {"tariff": both})
    assert route_of(made).features == {"x"}


@given(st.integers(), st.integers(0, 2**64 - 1))
def test_a_draw_is_over_zero_and_at_most_one(seed: int, salt: int) -> None:
    assert 0 < draw(seed, salt) <= 1
    assert draw(seed, salt) == draw(seed, salt)


@pytest.mark.parametrize("salt", [0, 1, route_of(candidate("a")).salt, route_of(candidate("b")).salt])
def test_draws_are_uniform_over_seeds(salt: int) -> None:
    bins = [0] * 20
    for seed in range(20_000):
        bins[min(int(draw(seed, salt) * 20), 19)] += 1
    assert sum((n - 1_000) ** 2 / 1_000 for n in bins) < 43.8  # chi-square, 19 degrees of freedom, p = 0.001


def test_draws_of_two_candidates_and_of_neighbouring_seeds_are_independent() -> None:
    a, b = route_of(candidate("a")).salt, route_of(candidate("b")).salt
    mine = [draw(seed, a) for seed in range(20_000)]
    theirs = [draw(seed, b) for seed in range(20_000)]
    for pairs in (zip(mine, theirs, strict=True), pairwise(mine)):
        cells = [0] * 16
        for x, y in pairs:
            cells[min(int(x * 4), 3) * 4 + min(int(y * 4), 3)] += 1
        assert sum((n - 1_250) ** 2 / 1_250 for n in cells) < 37.7  # 15 degrees of freedom, p = 0.001
