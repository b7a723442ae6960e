"""How a configuration becomes what is served."""

from types import MappingProxyType

import pytest

from helpers.configs import PROVIDER, read
from tollway import assembly
from tollway.config.schema import Config
from tollway.domain.plan import Candidate
from tollway.metering.price_list import price_list
from tollway.upstream.dialects import Spoken
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI


def candidate_of(config: Config) -> Candidate:
    catalog = assembly.catalog(config, price_list(config))
    (candidate,) = (candidate for model in catalog.models.values() for candidate in model.candidates)
    return candidate


def test_what_a_dialect_has_no_words_for_its_models_are_known_not_to_take(monkeypatch: pytest.MonkeyPatch) -> None:
    config = read(PROVIDER + 'unsupported = ["seed"]\n')
    plain = candidate_of(config)
    assert (plain.unsupported, plain.one_choice) == ({"seed"}, False)
    poor = Spoken(OpenAIOpenAI, lacks=frozenset({"logprobs"}), one_choice=True)
    monkeypatch.setattr(assembly, "DIALECTS", MappingProxyType({"openai": poor}))
    found = candidate_of(config)
    assert (found.unsupported, found.one_choice) == ({"seed", "logprobs"}, True)
