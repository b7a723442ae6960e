"""Providers that the operator took out of service: left out with a verdict of their own, and replayed so."""

import pytest

from helpers.routes import call, candidate, catalog
from tollway.domain.errors import NoProviderAvailable
from tollway.domain.plan import Plan
from tollway.routing.catalog import Catalog
from tollway.routing.plan import plan
from tollway.routing.replay import replay

TWO = catalog(candidate("a", usd=1), candidate("b", usd=9), aliases={"m": "acme/m"})


def reasons(made: Plan) -> dict[str, str | None]:
    return {verdict.candidate: verdict.reason for verdict in made.verdicts}


def refused(model: str, made: Catalog = TWO, *, disabled: set[str]) -> NoProviderAvailable:
    with pytest.raises(NoProviderAvailable) as nobody:
        plan(call(model), made, {}, seed=1, disabled=disabled)
    return nobody.value


def test_it_is_left_out_with_a_verdict_and_the_others_serve() -> None:
    made = plan(call(), TWO, {}, seed=1, disabled={"a"})
    assert [one.provider for one in made.candidates] == ["b"]
    assert reasons(made) == {"a:acme/m": "disabled", "b:acme/m": None}


def test_it_is_that_whatever_else_speaks_against_it() -> None:
    made = plan(call(ignore=["a"]), TWO, {}, seed=1, disabled={"a"})
    assert reasons(made)["a:acme/m"] == "disabled"
    assert reasons(plan(call(ignore=["a"]), TWO, {}, seed=1))["a:acme/m"] == "ignored"


def test_a_pin_to_it_says_so_and_names_whom_another_pin_would_find() -> None:
    error = refused("a:m", disabled={"a"})
    assert "a:acme/m was left out: the operator took its provider out of service." in error.message
    assert "Change `pin`, or choose another model." in error.message
    assert error.details["would_fit"] == {
        "without": {"pin": ["b:acme/m"]},
        "lowest_price": {"candidate": "b:acme/m", "prompt": "9", "completion": "0"},
        "largest_context_length": 8192,
    }


def test_a_model_that_only_such_providers_serve_is_not_to_be_had_by_another_wish() -> None:
    error = refused("acme/m", disabled={"a", "b"})
    assert error.message.endswith("Choose another model.")
    assert error.details["would_fit"] == {"without": {}, "lowest_price": None, "largest_context_length": None}
    assert [told["reason"] for told in error.details["candidates"]] == ["disabled", "disabled"]


def test_a_fallback_model_serves_instead() -> None:
    made = catalog(candidate("a"), candidate("b", "acme/n"))
    chosen = plan(call("acme/m", "acme/n"), made, {}, seed=1, disabled={"a"})
    assert [one.key for one in chosen.candidates] == ["b:acme/n"]


def test_a_decision_is_made_again_as_it_was_whoever_is_in_service_today() -> None:
    for disabled in (set(), {"a"}):
        made = plan(call(), TWO, {}, seed=5, disabled=disabled)
        assert replay(call(), TWO, made.verdicts, seed=5) == made
