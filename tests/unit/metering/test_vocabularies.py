"""Which vocabulary a model's tokens are of, and that each in the table is one that our tokenizer has."""

import pytest
import splintr

from helpers.metered import candidate
from tollway.metering.vocabularies import PATTERNS, vocabulary_of


@pytest.mark.parametrize(
    ("name", "vocabulary"),
    [
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini-2024-07-18", "o200k_base"),
        ("openai/GPT-4.1-nano", "o200k_base"),
        ("gpt-5.2", "o200k_base"),
        ("o1", "o200k_base"),
        ("o3-mini", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("gpt-35-turbo-16k", "cl100k_base"),
        ("gpt-oss-120b", "o200k_harmony"),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama3"),
        ("llama-3.1-8b-instant", "llama3"),
        ("deepseek-ai/DeepSeek-V3", "deepseek_v3"),
        ("Qwen/Qwen2.5-72B-Instruct", "qwen2.5"),
        ("qwen3-32b", "qwen3"),
        ("gpt-4o-audio-preview", None),
        ("deepseek-r1-distill-llama-70b", None),
        ("llama-4-maverick", None),
        ("qwen3.5-plus", None),
        ("claude-sonnet-4", None),
        ("o1x", None),
        ("m", None),
    ],
)
def test_a_models_name_says_its_vocabulary_or_that_none_is_known(name: str, vocabulary: str | None) -> None:
    assert vocabulary_of(candidate(upstream=name, model="house/model")) == vocabulary


def test_the_providers_name_decides_before_the_public_one() -> None:
    assert vocabulary_of(candidate(upstream="my-deployment", model="openai/gpt-4o")) == "o200k_base"
    assert vocabulary_of(candidate(upstream="llama-3.1-8b", model="openai/gpt-4o")) == "llama3"
    assert vocabulary_of(candidate(upstream="gpt-4o-audio-preview", model="openai/gpt-4o")) is None


@pytest.mark.parametrize("vocabulary", sorted(set(PATTERNS.values()) - {""}))
def test_every_vocabulary_of_the_table_is_in_the_tokenizer_and_adds_nothing_to_a_text(vocabulary: str) -> None:
    tokenizer = splintr.Tokenizer.from_pretrained(vocabulary)
    assert tokenizer.family == "BPE"
    assert tokenizer.encode_ordinary("") == []
    assert tokenizer.decode(tokenizer.encode_ordinary("Zwölf Boxkämpfer 水 🙂")) == "Zwölf Boxkämpfer 水 🙂"
