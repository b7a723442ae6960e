"""The syntax of scenarios: what is right is read back as written, what is wrong is answered with what is right."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.simulator import Fault, Scenario, ScenarioError, parse_scenario, render_scenario
from tollway.simulator.grammar import KEYS, POSITIONED, SPEC_CHARS_MAX, TOKENS_MAX
from tollway.simulator.scenario import SPLIT_CHARACTERS, FaultName, FinishReason, UsageStyle

NAMES = st.from_regex(r"[A-Za-z0-9._:-]{1,64}", fullmatch=True)
SECONDS = st.integers(0, 3_600_000_000).map(lambda microseconds: microseconds / 1e6)
COUNTS = st.integers(0, TOKENS_MAX)
ANY = st.integers(-(10**17), 10**17)
TEXT = st.text(max_size=100)
FAULTS = st.sampled_from(get_args(FaultName)).flatmap(
    lambda name: st.builds(Fault, st.just(name), st.none() | st.integers(0, 1000) if name in POSITIONED else st.none())
)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "delay": SECONDS,
    "first": SECONDS,
    "gap": SECONDS,
    "rate": st.integers(0, 1_000_000).map(lambda value: value / 1000),
    "tokens": COUNTS,
    "text": TEXT,
    "reasoning": COUNTS,
    "tool": NAMES,
    "arguments": st.sampled_from(["{}", '{"text": "Zwölf & 水"}']),
    "calls": st.integers(1, 128),
    "finish": st.sampled_from(get_args(FinishReason)),
    "role_chunk": st.booleans(),
    "model": TEXT,
    "id": NAMES,
    "usage": st.sampled_from(get_args(UsageStyle)),
    "prompt_tokens": ANY,
    "completion_tokens": ANY,
    "cached": ANY,
    "usage_raw": st.sampled_from(["null", '"many"', '{"prompt_tokens":1.5,"completion_tokens":[]}']),
    "crlf": st.booleans(),
    "comments": st.booleans(),
    "bom": st.booleans(),
    "ids": st.booleans(),
    "multiline": st.booleans(),
    "chunked": st.booleans(),
    "done": st.booleans(),
    "split": st.integers(1, 1000) | st.just(SPLIT_CHARACTERS),
    "burst": st.integers(1, 10_000),
    "refuse": st.lists(st.sampled_from(["n", "stream_options", "developer"]), min_size=1, unique=True).map(tuple),
    "status": st.just(200) | st.integers(400, 599),
    "code": TEXT,
    "retry_after": st.sampled_from(["2", "0.5", "Wed, 21 Oct 2026 07:28:00 GMT"]),
    "retry_after_ms": st.integers(0, 10**9),
    "fault": FAULTS,
    "fault_times": st.integers(0, 10**9),
    "fault_rate": st.integers(0, 1000).map(lambda value: value / 1000),
    "seed": ANY,
    "lockstep": NAMES,
    "barrier": NAMES,
}


def test_every_field_of_a_scenario_is_a_key_and_every_key_a_field() -> None:
    assert tuple(KEYS) == Scenario.__struct_fields__
    assert set(VALUES) == set(KEYS)


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_a_rendered_scenario_reads_back_the_same(changes: dict[str, Any]) -> None:
    scenario = Scenario(**changes)
    assert parse_scenario(render_scenario(scenario)) == scenario


@given(st.text(max_size=200) | st.lists(st.sampled_from([*KEYS, "=", "&", ",", "@", "%", "1", "ms"])).map("".join))
def test_any_text_is_a_scenario_or_a_scenario_error(text: str) -> None:
    try:
        assert isinstance(parse_scenario(text), Scenario)
    except ScenarioError as error:
        assert str(error)


WRONG = {
    "delay": ["20", "-1s", "2h", "61m", "ms", "1 s"],
    "first": ["soon"],
    "gap": ["20"],
    "rate": ["-1", "1e3", "fast"],
    "tokens": ["-1", str(TOKENS_MAX + 1), "1.5", "²"],
    "reasoning": ["-1"],
    "tool": ["", "two words", "x" * 65],
    "arguments": ["", "{"],
    "calls": ["0", "129", "two"],
    "finish": ["done"],
    "role_chunk": ["yes", "1"],
    "id": ['"'],
    "usage": ["none"],
    "prompt_tokens": ["many"],
    "completion_tokens": ["1.5"],
    "cached": [""],
    "usage_raw": ["{", "NaN"],
    "crlf": ["true"],
    "comments": [""],
    "bom": ["ON"],
    "ids": ["2"],
    "multiline": ["x"],
    "chunked": ["x"],
    "done": ["x"],
    "split": ["0", "chars"],
    "burst": ["0"],
    "refuse": ["", "n.", "Seed"],
    "status": ["99", "201", "302", "600"],
    "retry_after": ["", "2\r\nx: y"],
    "retry_after_ms": ["1.5"],
    "fault": ["boom", "cut@", "cut@-1", "silence@3", "cut@x", "@3"],
    "fault_times": ["-1"],
    "fault_rate": ["1.1", "-0.1"],
    "seed": ["x"],
    "lockstep": [""],
    "barrier": ["a b"],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG.items() for value in values])
def test_a_wrong_value_is_answered_with_the_key_and_what_is_right(key: str, value: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(f"{key}={value}")
    assert str(caught.value).startswith(key)
    assert KEYS[key].wants in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gpa=20ms", "did you mean 'gap'"),
        ("qqq=1", "The keys are delay"),
        ("gap", "'gap' needs a value"),
        ("gap=1s&gap=2s", "'gap' is given twice"),
        ("n=1,tokens=2", "'tokens' is given twice"),
        ("text=" + "x" * SPEC_CHARS_MAX, "at most"),
    ],
)
def test_a_wrong_scenario_is_answered_with_what_to_do(text: str, says: str) -> None:
    with pytest.raises(ScenarioError, match=says):
        parse_scenario(text)


@pytest.mark.parametrize(
    "text", ["n=100,gap=20ms,fault=cut@5", "tokens=100&gap=20ms&fault=cut@5", "&&n=100,,gap=0.02s,fault=cut@5&"]
)
def test_pairs_are_joined_by_ampersand_or_comma(text: str) -> None:
    assert parse_scenario(text) == Scenario(tokens=100, gap=0.02, fault=Fault("cut", 5))


def test_values_are_percent_encoded_as_in_a_query_string() -> None:
    assert parse_scenario("text=a%2Cb%26c+d%20e%3D").text == "a,b&c d e="


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("250us", 0.00025), ("20ms", 0.02), ("1.5s", 1.5), ("2m", 120.0), ("60m", 3600.0), ("1h", 3600.0)],
)
def test_durations_have_units(text: str, seconds: float) -> None:
    assert parse_scenario(f"delay={text}").delay == pytest.approx(seconds)


def test_a_scenario_changes_only_the_keys_it_names() -> None:
    base = Scenario(tokens=5, gap=1.0)
    assert parse_scenario("gap=2s", base) == Scenario(tokens=5, gap=2.0)
    assert parse_scenario("", base) is base
