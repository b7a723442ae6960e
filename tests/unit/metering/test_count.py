"""Our own count of tokens."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from helpers.metered import call, candidate
from tollway.domain.usage import Counted, Generated, Usage
from tollway.metering.bound import prompt_bound
from tollway.metering.count import estimate


def test_four_bytes_are_a_token_rounded_up_without_a_template_allowance() -> None:
    for size, tokens in ((1, 1), (4, 1), (5, 2), (4_000, 1_000)):
        counted = estimate(call(text_bytes=size, messages=3), candidate(), Generated(text_bytes=size))
        assert counted == Usage(prompt=tokens, completion=tokens)


def test_nothing_generated_is_no_token() -> None:
    assert estimate(call(text_bytes=40), candidate(), Generated()).completion == 0


def test_a_part_counts_at_its_ceiling() -> None:
    seen = candidate(part_tokens={"image_url": 700})
    assert estimate(call(text_bytes=40, parts=[("image_url", 2)]), seen, Generated()).prompt == 10 + 1_400


def test_a_part_without_a_ceiling_counts_as_the_context_length_and_no_prompt_is_longer() -> None:
    for count in (1, 5):
        assert estimate(call(parts=[("file", count)]), candidate(), Generated()).prompt == 8_000


def test_no_count_is_over_what_the_choices_can_have() -> None:
    asked = call(n=2, max_tokens=50)
    assert estimate(asked, candidate(), Generated(text_bytes=4_000)).completion == 100
    assert estimate(asked, candidate(), Generated(text_bytes=4_000), 10).completion == 20


def test_generated_audio_counts_at_its_ceiling_and_as_audio_when_it_was_asked_for() -> None:
    spoken = candidate(part_tokens={"audio_output": 30})
    asked = call(features=frozenset({"audio_output"}))
    generated = Generated(text_bytes=40, other_parts=2)
    assert estimate(asked, spoken, generated) == Usage(prompt=10, completion=70, audio_output=60)
    assert estimate(call(), spoken, generated) == Usage(prompt=10, completion=70)
    assert estimate(asked, candidate(), generated) == Usage(prompt=10, completion=1_000, audio_output=1_000)


def test_where_our_tokenizer_counted_its_count_stands_for_the_bytes_within_the_same_limits() -> None:
    counted = Counted(vocabulary="o200k_base", prompt=7, completion=5)
    generated = Generated(text_bytes=400)
    found = estimate(call(text_bytes=400), candidate(), generated, counted=counted)
    assert (found.prompt, found.completion) == (7, 5)
    assert estimate(call(max_tokens=3), candidate(), generated, counted=counted).completion == 3
    many = msgspec.structs.replace(counted, prompt=10**6)
    found = estimate(call(), candidate(), Generated(), counted=many)
    assert found.prompt == prompt_bound(call(), candidate())


@given(st.integers(0, 3_000), st.integers(1, 9), st.integers(1, 900), st.sampled_from([(), [("image_url", 2)]]))
def test_no_count_of_a_prompt_by_its_bytes_is_over_the_most_that_it_can_have(
    size: int, messages: int, context: int, parts: list[tuple[str, int]]
) -> None:
    asked = call(text_bytes=size, messages=messages, parts=parts)
    small = candidate(context_length=context, template_tokens=0, message_tokens=0, part_tokens={"image_url": 7})
    assert estimate(asked, small, Generated()).prompt <= prompt_bound(asked, small)
