"""Which tokenizer vocabulary a model's tokens are of: the table in data/vocabularies.toml. Knows no tokenizer."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from tollway.domain.plan import Candidate


def _load() -> Mapping[str, str]:
    text = (files("tollway.metering") / "data" / "vocabularies.toml").read_text(encoding="utf-8")
    rows = tomllib.loads(text)["vocabularies"]
    return MappingProxyType({pattern: row["name"] for row in rows for pattern in row["models"]})


PATTERNS = _load()  # pattern -> vocabulary, "" where none of ours is right


def vocabulary_of(candidate: Candidate) -> str | None:
    """The vocabulary of the provider's own name for the model, else of the public one; None when it isn't known."""
    for name in (candidate.upstream, candidate.model):
        known = _of_name(name)
        if known is not None:
            return known or None
    return None


def _of_name(name: str) -> str | None:
    own = name.rpartition("/")[2].lower()
    fitting = [pattern for pattern in PATTERNS if _fits(own, pattern)]
    return PATTERNS[max(fitting, key=len)] if fitting else None


def _fits(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
