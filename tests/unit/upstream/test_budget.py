"""The retry budget: how often a provider is asked once more, whatever happens in whichever order."""

from hypothesis import given
from hypothesis import strategies as st

from tollway.upstream.budget import ATTEMPTS_A_RETRY, FLOOR, RetryBudget

STEPS = st.lists(st.sampled_from(["attempt", "retry"]), max_size=400)


@given(STEPS)
def test_over_any_sequence_repeats_are_at_most_the_floor_and_a_tenth_of_the_first_attempts(steps: list[str]) -> None:
    budget = RetryBudget()
    attempts = retries = 0
    for step in steps:
        if step == "attempt":
            budget.attempted("p")
            attempts += 1
        else:
            retries += budget.take("p")
        assert retries <= FLOOR + attempts / ATTEMPTS_A_RETRY


@given(STEPS)
def test_from_any_moment_on_the_same_holds_of_what_follows(before: list[str]) -> None:
    budget = RetryBudget()
    for step in before:
        budget.attempted("p") if step == "attempt" else budget.take("p")
    assert sum(budget.take("p") for _ in range(10 * FLOOR)) <= FLOOR


def test_a_router_with_little_to_do_may_still_ask_again() -> None:
    budget = RetryBudget()
    assert [budget.take("p") for _ in range(FLOOR + 1)] == [True] * FLOOR + [False]


def test_ten_first_attempts_earn_one_repeat_and_not_nine() -> None:
    budget = RetryBudget()
    while budget.take("p"):
        pass
    for _ in range(ATTEMPTS_A_RETRY - 1):
        budget.attempted("p")
    assert not budget.take("p")
    budget.attempted("p")
    assert budget.take("p")


def test_nothing_is_saved_up_beyond_the_floor() -> None:
    budget = RetryBudget()
    for _ in range(1_000):
        budget.attempted("p")
    assert sum(budget.take("p") for _ in range(1_000)) == FLOOR
    for _ in range(10_000):
        budget.attempted("p")
    assert sum(budget.take("p") for _ in range(1_000)) == FLOOR


def test_each_provider_has_its_own() -> None:
    budget = RetryBudget()
    while budget.take("a"):
        pass
    assert budget.take("b")
