import pytest

from helpers.routes import call, candidate
from tollway.domain.errors import NoProviderAvailable, UnpricedFeature
from tollway.domain.plan import Verdict
from tollway.routing.explain import CANDIDATES_SHOWN_MAX, CANDIDATES_TOLD_MAX, REASONS, explain, no_candidate


def test_a_kept_candidate_is_told_with_its_place_draw_and_weight() -> None:
    kept = Verdict(candidate="a:m", kept=True, rank=2, weight=0.25, draw=0.5)
    assert explain(kept) == "a:m is number 2: drew 0.5 at weight 0.25."
    noted = Verdict(candidate="a:m", kept=True, rank=2, weight=0.25, draw=0.5, note="troubled")
    assert explain(noted) == "a:m is number 2 (troubled): drew 0.5 at weight 0.25."


@pytest.mark.parametrize("reason", REASONS)
def test_a_refused_candidate_is_told_with_its_reason_in_words(reason: str) -> None:
    said = explain(Verdict(candidate="a:m", kept=False, reason=reason, note="why"))
    assert said == f"a:m was left out: {REASONS[reason]} (why)."


def test_a_reason_of_another_version_is_told_as_it_is() -> None:
    assert explain(Verdict(candidate="a:m", kept=False, reason="moon_phase")) == "a:m was left out: moon_phase."


def test_an_error_stays_short_however_many_candidates_there_were() -> None:
    many = [Verdict(candidate=f"p{n}:m", kept=False, reason="ignored") for n in range(1_000)]
    error = no_candidate(
        call("acme/m", "acme/n"), many, [candidate("p")], {"provider.ignore": [v.candidate for v in many]}
    )
    assert isinstance(error, NoProviderAvailable)
    assert error.message.startswith("No provider may serve 'acme/m' or its fallbacks. p0:m was left out")
    assert f"So were {1_000 - CANDIDATES_TOLD_MAX} more." in error.message
    assert len(error.message) < 500
    assert len(error.details["candidates"]) == CANDIDATES_SHOWN_MAX
    assert len(error.details["would_fit"]["without"]["provider.ignore"]) == CANDIDATES_SHOWN_MAX


def test_one_candidate_that_only_lacked_a_rate_makes_it_the_features_doing() -> None:
    verdicts = [
        Verdict(candidate="a:m", kept=False, reason="ignored"),
        Verdict(candidate="b:m", kept=False, reason="unpriced_feature", note="web_search"),
    ]
    assert isinstance(no_candidate(call(features=["web_search"]), verdicts, [candidate("a")], {}), UnpricedFeature)
