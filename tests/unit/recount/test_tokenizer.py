"""Our own tokenizer: ids known from elsewhere, texts of any size in short turns, and what is missing is said."""

import sys

import pytest
import splintr
from hypothesis import given, settings
from hypothesis import strategies as st

from tollway.recount.tokenizer import PIECE_CHARS_MAX, NoTokenizer, Tokenizers, cut

# Published by OpenAI ("How to count tokens with tiktoken", OpenAI Cookbook).
KNOWN = [
    ("cl100k_base", "tiktoken is great!", [83, 1609, 5963, 374, 2294, 0]),
    ("cl100k_base", "antidisestablishmentarianism", [519, 85342, 34500, 479, 8997, 2191]),
    ("cl100k_base", "2 + 2 = 4", [17, 489, 220, 17, 284, 220, 19]),
    ("cl100k_base", "お誕生日おめでとう", [33334, 45918, 243, 21990, 9080, 33334, 62004, 16556, 78699]),
    ("o200k_base", "antidisestablishmentarianism", [493, 129901, 376, 160388, 21203, 2367]),
    ("o200k_base", "2 + 2 = 4", [17, 659, 220, 17, 314, 220, 19]),
    ("o200k_base", "お誕生日おめでとう", [8930, 9697, 243, 128225, 8930, 17693, 4344, 48669]),
]


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    found = Tokenizers()
    found.prepare(["o200k_base", "cl100k_base"])
    return found


@pytest.mark.parametrize(("vocabulary", "text", "ids"), KNOWN)
def test_the_ids_are_those_that_are_published(
    vocabulary: str, text: str, ids: list[int], tokenizers: Tokenizers
) -> None:
    assert splintr.Tokenizer.from_pretrained(vocabulary).encode_ordinary(text) == ids
    assert tokenizers.count(vocabulary, [text]) == len(ids)


def test_what_looks_like_a_control_token_is_text(tokenizers: Tokenizers) -> None:
    assert tokenizers.count("o200k_base", ["<|endoftext|>"]) > 1


HUGE = ["word " * 300_000, "a" * 1_000_000, "水火" * 200_000, " " * 1_000_000, "👩‍👩‍👧" * 50_000]


@pytest.mark.parametrize("text", HUGE, ids=["words", "one word", "Chinese", "blanks", "emoji"])
def test_a_huge_text_is_counted_in_turns_that_have_a_bound(text: str) -> None:
    turns: list[int] = []
    tokenizers = Tokenizers(lambda name: lambda part: turns.append(len(part)) or len(part))
    tokenizers.prepare(["v"])
    assert tokenizers.count("v", [text]) == len(text)
    assert max(turns) <= PIECE_CHARS_MAX


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abcdéß水., \n'0", min_size=1, max_size=60), min_size=1, max_size=40), st.integers(1, 400))
def test_text_of_words_has_the_same_tokens_cut_or_whole(tokenizers: Tokenizers, words: list[str], times: int) -> None:
    text = " and then ".join(words * times)  # there is always a blank between two letters to cut at
    whole = splintr.Tokenizer.from_pretrained("o200k_base").encode_ordinary(text)
    assert "".join(cut(text)) == text
    assert tokenizers.count("o200k_base", [text]) == len(whole)


@pytest.mark.parametrize("text", ["a" * 100_000, "水火木金土" * 20_000, "x1+" * 40_000])
def test_text_without_a_word_boundary_is_off_by_no_more_than_a_few_tokens_for_each_cut(
    text: str, tokenizers: Tokenizers
) -> None:
    whole = len(splintr.Tokenizer.from_pretrained("o200k_base").encode_ordinary(text))
    assert abs(tokenizers.count("o200k_base", [text]) - whole) <= 3 * (len(text) // PIECE_CHARS_MAX)


def test_only_what_is_served_is_loaded_and_once() -> None:
    loaded: list[str] = []
    tokenizers = Tokenizers(lambda name: loaded.append(name) or len)
    tokenizers.prepare(["a", "b", "a"])
    tokenizers.prepare(["b", "c"])
    assert loaded == ["a", "b", "c"]
    assert [name in tokenizers for name in "abc"] == [False, True, True]


def test_without_the_extra_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "splintr", None)
    with pytest.raises(NoTokenizer, match=r"pip install 'tollway\[tokens\]'"):
        Tokenizers().prepare(["o200k_base"])
