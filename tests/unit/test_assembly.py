"""How a configuration becomes what is served."""

from types import MappingProxyType

import pytest

from helpers.configs import PROVIDER, read
from helpers.ledgers import HandClock
from tollway import assembly
from tollway.assembly import Assembly, Books
from tollway.config.schema import Config
from tollway.domain.plan import Candidate
from tollway.ledger.memory import MemoryLedger
from tollway.limits.counts import Counts
from tollway.limits.memory import MemoryLimits
from tollway.metering.price_list import price_list
from tollway.ops.logs import LogObserver
from tollway.routing.health import Health
from tollway.upstream.dialects import Spoken
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI
from tollway.upstream.http1.transport import Http1Transport


def made(files: int | None) -> Assembly:
    clock, observer = HandClock(), LogObserver()
    stores = MemoryLimits(clock), MemoryLimits(clock)
    return Assembly(
        Http1Transport(),
        Books(MemoryLedger(clock), bytes(32), bytes(32)),
        clock,
        observer,
        counts=Counts(*stores, observer),
        files=files,
        health=Health(clock),
    )


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


def test_with_few_files_less_is_taken_on_than_is_configured_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = read(PROVIDER)
    snapshot = made(files=300).snapshot(config, price_list(config))
    assert (snapshot.calls_max, snapshot.connections_max) == (100, 100)
    (line,) = [record.getMessage() for record in caplog.records if record.name == "tollway.files"]
    assert line.startswith("300 open files are allowed: at most 100 calls and 100 connections at once fit, not ")


def test_with_enough_files_what_is_configured_holds_and_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    config = read(PROVIDER)
    for files in (None, 12_100):
        snapshot = made(files=files).snapshot(config, price_list(config))
        assert (snapshot.calls_max, snapshot.connections_max) == (2_000, 10_000)
    assert "open files" not in caplog.text
