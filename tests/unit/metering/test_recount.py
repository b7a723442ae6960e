"""Which calls are recounted, how both counts compare, and when a provider is said to deviate."""

from typing import Any

import pytest

from helpers.metered import call, candidate, served
from tollway.domain.ids import new_id
from tollway.domain.recount import Compared, Recount, deviation_bps
from tollway.domain.usage import Counted, Generated, Usage
from tollway.metering.recount import ENDING_TOKENS, JUDGED_FROM, WINDOW, Deviations, chosen, recount

TEXT = Generated(text_bytes=400)
PERCENT = 100  # basis points


def counted(**fields: Any) -> Counted:
    plain = {"plain_prompt": True, "plain_completion": True}
    return Counted(**{"vocabulary": "o200k_base", "prompt": 30, "completion": 90, **plain, **fields})


def compared(reported: Usage | None, own: Counted | None = None, **fields: Any) -> Recount:
    one = candidate(template_tokens=3, message_tokens=4, **fields)
    return recount(served(call(text_bytes=400, messages=2), one, generated=TEXT), own or counted(), reported)


def same(prompt: int, completion: int) -> Recount:
    own = Usage(prompt=100, completion=100)
    return Recount(vocabulary="o200k_base", own=own, prompt=Compared(prompt, 100), completion=Compared(completion, 100))


@pytest.mark.parametrize(("share_bps", "least", "most"), [(100, 850, 1_150), (2_500, 24_400, 25_600)])
def test_the_sample_has_its_share_of_calls(share_bps: int, least: int, most: int) -> None:
    found = sum(chosen(f"call-{number}", share_bps) for number in range(100_000))
    assert least <= found <= most


def test_a_share_of_all_takes_every_call_and_one_of_nothing_none() -> None:
    ids = [new_id(1) for _ in range(1_000)]
    assert all(chosen(own, 10_000) for own in ids)
    assert not any(chosen(own, 0) for own in ids)


def test_whether_a_call_is_in_the_sample_is_its_ids_alone_and_a_larger_share_has_the_smaller_in_it() -> None:
    small = {own for own in range(10_000) if chosen(str(own), 100)}
    assert small == {own for own in range(10_000) if chosen(str(own), 100)}
    assert small <= {own for own in range(10_000) if chosen(str(own), 500)}


def test_our_own_count_is_the_tokenizers_without_a_template() -> None:
    found = compared(None)
    assert (found.own.prompt, found.own.completion, found.vocabulary) == (30, 90, "o200k_base")


def test_without_a_usage_that_can_be_true_there_is_nothing_to_compare() -> None:
    found = compared(None)
    assert (found.prompt, found.completion) == (None, None)


@pytest.mark.parametrize(("reported", "taken"), [(30, 30), (41, 30), (42, 31), (20, 20)])
def test_what_a_template_may_add_is_taken_off_a_reported_prompt(reported: int, taken: int) -> None:
    assert compared(Usage(prompt=reported, completion=90)).prompt == Compared(taken, 30)  # 3 + 2 x 4 may be template


@pytest.mark.parametrize(("reported", "taken"), [(90, 90), (94, 90), (117, 113), (60, 60)])
def test_what_an_ending_may_add_is_taken_off_a_reported_completion(reported: int, taken: int) -> None:
    assert ENDING_TOKENS == 4
    assert compared(Usage(prompt=30, completion=reported)).completion == Compared(taken, 90)


def test_a_prompt_or_an_answer_that_is_not_text_alone_is_not_compared() -> None:
    found = compared(Usage(prompt=30, completion=90), counted(plain_prompt=False, plain_completion=False))
    assert (found.prompt, found.completion) == (None, None)


def test_itemised_reasoning_is_left_out_of_both_counts() -> None:
    found = compared(Usage(prompt=30, completion=700, reasoning=640), counted(completion=90, reasoning=30))
    assert found.completion == Compared(60, 60)


def test_shown_reasoning_that_is_not_itemised_is_in_both_counts() -> None:
    found = compared(Usage(prompt=30, completion=90), counted(completion=90, reasoning=30), reasoning=True)
    assert found.completion == Compared(90, 90)


def test_an_answer_of_a_model_that_reasons_without_a_word_of_it_is_not_compared() -> None:
    assert compared(Usage(prompt=30, completion=700), reasoning=True).completion is None


def test_a_deviation_is_of_our_count_and_has_a_sign() -> None:
    assert deviation_bps(Compared(130, 100)) == 30 * PERCENT
    assert deviation_bps(Compared(70, 100)) == -30 * PERCENT
    assert deviation_bps(Compared(5, 0)) is None


@pytest.mark.parametrize(("reported", "deviation"), [(130, 30 * PERCENT), (70, -30 * PERCENT)])
def test_a_provider_that_is_off_is_said_once_after_enough_recounts(reported: int, deviation: int) -> None:
    deviations = Deviations()
    said = [deviations.add("p", same(100, reported), 10 * PERCENT) for _ in range(JUDGED_FROM + 5)]
    assert said == [{}] * (JUDGED_FROM - 1) + [{"completion": deviation}] + [{}] * 5


def test_a_provider_at_the_threshold_is_not_off() -> None:
    deviations = Deviations()
    assert not any(deviations.add("p", same(110, 90), 10 * PERCENT) for _ in range(WINDOW))


def test_providers_are_judged_by_themselves() -> None:
    deviations = Deviations()
    said = [deviations.add(own, same(150, 100), 10 * PERCENT) for own in ("a", "b") for _ in range(JUDGED_FROM)]
    assert [found for found in said if found] == [{"prompt": 5_000}, {"prompt": 5_000}]


def test_a_provider_that_came_back_is_said_again_when_it_is_off_again() -> None:
    deviations = Deviations()
    history = [130] * JUDGED_FROM + [100] * WINDOW + [200] * 20
    said = [found for reported in history if (found := deviations.add("p", same(100, reported), 10 * PERCENT))]
    assert len(said) == 2


def test_one_side_without_tokens_or_that_can_not_be_compared_is_not_judged() -> None:
    deviations = Deviations()
    nothing = Recount(vocabulary="v", own=Usage(prompt=0, completion=0), completion=Compared(7, 0))
    assert not any(deviations.add("p", nothing, 0) for _ in range(WINDOW))
