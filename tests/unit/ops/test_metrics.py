"""What is counted, and that docs/metrics.md says so."""

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tollway.domain.answer import AttemptRecord
from tollway.domain.record import CallRecord
from tollway.domain.recount import Compared, Recount
from tollway.domain.usage import Usage
from tollway.ops.metrics import ALARMS, Metrics

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
SOURCES = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]

SERIES_OF_A_HISTOGRAM = re.compile(r"_(bucket|count|sum)$")


RECOUNT = Recount(vocabulary="v", own=Usage(prompt=7, completion=10), completion=Compared(13, 10))


@pytest.fixture
def states() -> list[tuple[str, str, str]]:
    """Of breakers."""
    return []


@pytest.fixture
def metrics(states: list[tuple[str, str, str]]) -> Metrics:
    return Metrics(lambda: 0, lambda: False, lambda: False, lambda: states)


def call(**fields: Any) -> CallRecord:
    known: dict[str, Any] = {
        "id": "call-1",
        "account": "eip155:0x1",
        "created_ms": 1_000,
        "ended_ms": 3_500,
        "model_asked": "m",
        "stream": False,
        "ended": "complete",
        "delivery": "complete",
    }
    return CallRecord(**known | fields)


def served(**fields: Any) -> CallRecord:
    """One that a provider was asked for and that came to something."""
    known = {"provider": "p", "model": "m", "usage": Usage(prompt=20, completion=5), "price": 1_500, "cost": 1_000}
    return call(**known | fields)


def exported(metrics: Metrics) -> dict[str, float]:
    """Every sample of a scrape that isn't 0, as `name{label="value",...}`, labels in the order of their names; what
    the system says of the process left out."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        if family.name.startswith("process_"):
            continue
        for name, labels, value, *_ in family.samples:
            text = ",".join(f'{label}="{labels[label]}"' for label in sorted(labels))
            found[f"{name}{{{text}}}" if text else name] = value
    return {name: value for name, value in found.items() if value}


def counted(metrics: Metrics, prefix: str) -> dict[str, float]:
    return {
        name.removeprefix(prefix): value for name, value in exported(metrics).items() if name.startswith(f"{prefix}")
    }


def test_a_call_is_counted_by_how_it_ended_and_the_error_it_was_answered_with(metrics: Metrics) -> None:
    metrics.call_ended(call())
    metrics.call_ended(call())
    metrics.call_ended(call(ended="provider_failed", error_code="provider_timeout"))
    assert counted(metrics, "tollway_calls_total") == {
        '{code="",ended="complete"}': 2,
        '{code="provider_timeout",ended="provider_failed"}': 1,
    }


def test_tokens_and_money_are_counted_by_the_provider_and_model_that_served(metrics: Metrics) -> None:
    metrics.call_ended(served())
    metrics.call_ended(served(usage=Usage(prompt=1, completion=0)))
    metrics.call_ended(served(provider="q", price=2_000_000_000, cost=0))
    assert counted(metrics, "tollway_tokens_total") == {
        '{kind="prompt",model="m",provider="p"}': 21,
        '{kind="completion",model="m",provider="p"}': 5,
        '{kind="prompt",model="m",provider="q"}': 20,
        '{kind="completion",model="m",provider="q"}': 5,
    }
    assert counted(metrics, "tollway_charged_usd_total") == {
        '{model="m",provider="p"}': 0.000003,
        '{model="m",provider="q"}': 2,
    }
    assert counted(metrics, "tollway_cost_usd_total") == {'{model="m",provider="p"}': 0.000002}


def test_the_name_that_a_caller_asked_for_is_no_label(metrics: Metrics) -> None:
    metrics.call_ended(served(model_asked="whatever-they-typed"))
    metrics.call_ended(call(model_asked="whatever-they-typed", ended="refused", error_code="provider_error"))
    assert "whatever-they-typed" not in metrics.text().decode()


def test_a_call_that_nobody_served_adds_no_tokens_and_no_money(metrics: Metrics) -> None:
    metrics.call_ended(call(ended="refused", error_code="no_provider_available"))
    assert [name for name in exported(metrics) if not name.startswith(("tollway_calls_", "tollway_call_"))] == []


def test_a_calls_duration_is_counted_apart_for_streams(metrics: Metrics) -> None:
    metrics.call_ended(call())
    metrics.call_ended(call(stream=True, ended_ms=1_100))
    durations = counted(metrics, "tollway_call_duration_seconds")
    assert (durations['_sum{mode="batch"}'], durations['_sum{mode="stream"}']) == (2.5, 0.1)
    assert durations['_bucket{le="2.5",mode="batch"}'] == durations['_bucket{le="0.1",mode="stream"}'] == 1
    assert '_bucket{le="1.0",mode="batch"}' not in durations


def test_a_clock_that_was_set_back_makes_no_negative_duration(metrics: Metrics) -> None:
    metrics.call_ended(call(created_ms=5_000, ended_ms=1_000))
    durations = counted(metrics, "tollway_call_duration_seconds")
    assert durations['_count{mode="batch"}'] == durations['_bucket{le="0.1",mode="batch"}'] == 1
    assert '_sum{mode="batch"}' not in durations


def test_an_attempt_is_counted_by_provider_and_outcome(metrics: Metrics) -> None:
    metrics.attempt_ended(AttemptRecord(provider="p", model="m", outcome="ok"), "")
    metrics.attempt_ended(AttemptRecord(provider="p", model="n", outcome="ok"), "")
    metrics.attempt_ended(AttemptRecord(provider="q", model="m", outcome="rate_limited", status=429), "too many")
    assert counted(metrics, "tollway_attempts_total") == {
        '{outcome="ok",provider="p"}': 2,
        '{outcome="rate_limited",provider="q"}': 1,
    }


def test_a_first_token_is_counted_where_there_was_one(metrics: Metrics) -> None:
    metrics.attempt_ended(AttemptRecord(provider="p", model="m", outcome="ok", first_token_ms=250.0), "")
    metrics.attempt_ended(AttemptRecord(provider="p", model="m", outcome="ok"), "")
    first = counted(metrics, "tollway_first_token_seconds")
    assert (first['_count{provider="p"}'], first['_sum{provider="p"}']) == (1, 0.25)


def test_a_refusal_is_counted_by_its_code(metrics: Metrics) -> None:
    metrics.request_refused("missing_sign_in", 401, "")
    assert exported(metrics) == {'tollway_refusals_total{code="missing_sign_in"}': 1}


def test_a_commit_is_counted_by_its_time_and_its_size(metrics: Metrics) -> None:
    metrics.committed(3, 0.0004)
    metrics.committed(1, 0.0004)
    found = exported(metrics)
    assert found["tollway_ledger_commit_seconds_sum"] == 0.0008
    assert found['tollway_ledger_commit_seconds_bucket{le="0.0005"}'] == 2
    assert found["tollway_ledger_commit_commands_sum"] == 4
    assert found['tollway_ledger_commit_commands_bucket{le="1.0"}'] == 1
    assert found['tollway_ledger_commit_commands_bucket{le="4.0"}'] == 2


def test_an_alarm_is_counted_by_its_name_and_its_details_stay_in_the_log(metrics: Metrics) -> None:
    metrics.alarm("usage_refused", "p:m, call 1")
    assert exported(metrics) == {'tollway_alarms_total{alarm="usage_refused"}': 1}


def test_every_alarm_is_exported_before_it_is_raised(metrics: Metrics) -> None:
    text = metrics.text().decode()
    assert [name for name in ALARMS if f'tollway_alarms_total{{alarm="{name}"}} 0.0\n' not in text] == []


def test_every_alarm_in_the_code_is_known() -> None:
    raised = {name for text in SOURCES for name in re.findall(r"(?:\.alarm|_go_down)\(f?\"([a-z_]+)", text)}
    assert {"provider_refuses_us", "ledger_commit_"} <= raised
    commits = {f"ledger_commit_{outcome}" for outcome in ("refused", "unknown")}
    assert raised - {"ledger_commit_"} | commits == set(ALARMS)


def test_a_limit_that_held_is_counted_by_whose_it_is_and_what_was_limited(metrics: Metrics) -> None:
    metrics.limited("wallet", "requests")
    metrics.limited("wallet", "requests")
    metrics.limited("provider", "concurrency", "p")
    assert counted(metrics, "tollway_limited_total") == {
        '{kind="requests",provider="",who="wallet"}': 2,
        '{kind="concurrency",provider="p",who="provider"}': 1,
    }


def test_what_passes_uncounted_is_counted_by_whose_it_is(metrics: Metrics) -> None:
    for who in ("wallet", "address", "wallet"):
        metrics.uncounted(who)
    assert counted(metrics, "tollway_uncounted_total") == {'{who="wallet"}': 2, '{who="address"}': 1}


def test_a_recount_is_counted_by_what_became_of_it_and_both_counts_where_they_compare(metrics: Metrics) -> None:
    metrics.recounted("p", "counted", RECOUNT)
    metrics.recounted("p", "counted", Recount(vocabulary="v", own=RECOUNT.own, prompt=Compared(8, 7)))
    metrics.recounted("p", "queue_full", None)
    assert counted(metrics, "tollway_recounts_total") == {
        '{outcome="counted",provider="p"}': 2,
        '{outcome="queue_full",provider="p"}': 1,
    }
    assert counted(metrics, "tollway_recounted_tokens_total") == {
        '{count="own",kind="completion",provider="p"}': 10,
        '{count="own",kind="prompt",provider="p"}': 7,
        '{count="reported",kind="completion",provider="p"}': 13,
        '{count="reported",kind="prompt",provider="p"}': 8,
    }


def test_calls_in_flight_are_asked_for_at_every_scrape() -> None:
    answers = iter((2, 5))
    metrics = Metrics(lambda: next(answers), lambda: False, lambda: False)
    assert [exported(metrics), exported(metrics)] == [{"tollway_calls_in_flight": 2}, {"tollway_calls_in_flight": 5}]


def test_connections_are_asked_for_at_every_scrape_and_tasks_are_the_loops(metrics: Metrics) -> None:
    metrics.process.connections = lambda: 3
    metrics.process.provider_connections = lambda: 2

    async def scraped() -> dict[str, float]:
        return exported(metrics)

    assert asyncio.run(scraped()) == {
        "tollway_connections": 3,
        "tollway_provider_connections": 2,
        "tollway_tasks": 1,
    }


def test_breakers_are_shown_as_they_are_at_the_time(metrics: Metrics, states: list[tuple[str, str, str]]) -> None:
    assert "tollway_breaker_state{" not in metrics.text().decode()
    states += [("p", "m", "closed"), ("p", "n", "half_open"), ("q", "m", "open")]
    shown = metrics.text().decode()
    for provider, model, number in (("p", "m", 0), ("p", "n", 1), ("q", "m", 2)):
        assert f'tollway_breaker_state{{model="{model}",provider="{provider}"}} {number}.0' in shown


def test_routers_of_one_process_count_apart(metrics: Metrics) -> None:
    Metrics(lambda: 0, lambda: False, lambda: False).call_ended(served())
    assert exported(metrics) == {}


# --- names and documentation


@pytest.fixture
def everything(metrics: Metrics, states: list[tuple[str, str, str]]) -> Metrics:
    states.append(("p", "m", "open"))
    metrics.call_ended(served())
    metrics.attempt_ended(AttemptRecord(provider="p", model="m", outcome="ok", first_token_ms=1.0), "")
    metrics.request_refused("missing_sign_in", 401, "")
    metrics.limited("provider", "tokens", "p")
    metrics.uncounted("wallet")
    metrics.retried("p", "refused")
    metrics.recounted("p", "counted", RECOUNT)
    metrics.committed(1, 0.001)
    return metrics


def described(metrics: Metrics) -> dict[str, tuple[str, str, str]]:
    """Type, labels and meaning of every metric, from the text of a scrape."""
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        names = {
            SERIES_OF_A_HISTOGRAM.sub("", s.name) if family.type == "histogram" else s.name for s in family.samples
        }
        labels = {label for sample in family.samples for label in sample.labels if label != "le"}
        (name,) = names
        found[name] = (family.type, " ".join(sorted(labels)), family.documentation)
    return found


def test_the_page_has_every_metric_and_no_other(everything: Metrics) -> None:
    rows = re.findall(r"^\| `(tollway_\w+)` \| (\w+) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
    page = {name: (kind, " ".join(sorted(re.findall(r"`(\w+)`", labels))), text) for name, kind, labels, text in rows}
    shown = described(everything)
    assert page == {name: of for name, of in shown.items() if not name.startswith("process_")}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_the_page_names_what_is_told_of_the_process(everything: Metrics) -> None:
    assert set(re.findall(r"`(process_\w+)`", PAGE)) == {
        name for name in described(everything) if name.startswith("process_")
    }


def test_the_page_has_every_alarm_and_no_other() -> None:
    section = PAGE.partition("## Alarms")[2].partition("\n## ")[0]
    assert sorted(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == sorted(ALARMS)


def test_names_follow_the_conventions_of_prometheus(everything: Metrics) -> None:
    for name, (kind, _, _) in described(everything).items():
        if name.startswith("process_"):
            continue  # theirs
        assert re.fullmatch(r"tollway(_[a-z]+)+", name)
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(seconds|usd)_(?!total$)", name), f"{name}: the unit stands last"
        assert not re.search(r"_(ms|us|cents|nano)(_|$)", name), f"{name}: not a base unit"
