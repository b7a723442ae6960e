"""Which values of which fields are accepted, and what a wrong one is answered."""

from typing import Any

import msgspec
import pytest

from helpers.requests import HELLO, asked, forwarded, parsed
from tollway.domain.call import Preferences
from tollway.domain.errors import RequestError
from tollway.intake.features import FIELD_FEATURES
from tollway.intake.limits import FIELDS_MAX, PROVIDERS_MAX, SMALL_FIELD_BYTES_MAX
from tollway.intake.parse import Limits, parse
from tollway.intake.prompt import NOT_PROMPT
from tollway.intake.schema import FIELDS, OTHER_SPELLINGS, check_spelling, spellings
from tollway.wire.json import Raw


def refusal(**fields: Any) -> RequestError:
    with pytest.raises(RequestError) as refused:
        asked(**fields)
    assert (refused.value.status, refused.value.code) == (400, "invalid_request")
    return refused.value


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("temperature", [0, 2, 0.7, 1.0]),
        ("top_p", [0, 1, 0.5]),
        ("presence_penalty", [-2, 2, 0]),
        ("frequency_penalty", [-2.0, 2, 0.1]),
        ("n", [1, 128]),
        ("max_tokens", [1, 10**12]),
        ("max_completion_tokens", [1]),
        ("stream", [True, False]),
        ("stop", ["x", [], ["a", "b", "c", "d"]]),
        ("stream_options", [{}, {"include_usage": True}, {"include_obfuscation": False}]),
        ("user", ["", "u" * 1_024]),
        ("modalities", [["text"], []]),
    ],
)
def test_values_in_range_are_accepted_and_forwarded_as_they_came(field: str, values: list[Any]) -> None:
    for value in values:
        assert forwarded(asked(**{field: value}))[field] == value


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("model", ["", 1, ["m"], "m" * 257]),
        ("temperature", [-0.1, 2.1, 3, "1", True, []]),
        ("top_p", [-0.1, 1.1, "1"]),
        ("presence_penalty", [-2.1, 2.1, False]),
        ("frequency_penalty", [-3, 3, {}]),
        ("n", [0, -1, 129, 1.5, "1", True]),
        ("max_tokens", [0, -1, 1.5, "9", True]),
        ("max_completion_tokens", [0, True]),
        ("stream", [1, "true", 0]),
        ("stop", [1, ["a", "b", "c", "d", "e"], {}]),
        ("stream_options", [True, [], "x"]),
        ("user", [1, "u" * 1_025]),
        ("models", ["m", ["m"] * 9, {}]),
        ("provider", ["openai", []]),
        ("max_cost", [1, 0.5, "", "-1", "1e3", "$1", "0.0000000001", "1" * 40]),
        ("service_tier", [1, "", "a b", "x" * 65]),
        ("modalities", ["audio", 1, {}]),
        ("messages", ["x", {}, [], 1]),
        ("tools", ["x", {}, 1]),
    ],
)
def test_a_value_out_of_range_or_of_another_type_names_its_field(field: str, values: list[Any]) -> None:
    for value in values:
        refused = refusal(**{field: value})
        assert refused.param == field, value
        assert field in refused.message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stop": ["a", 1]}, "stop[1]"),
        ({"models": ["a", ""]}, "models[1]"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"messages": [*HELLO, 1]}, "messages[1]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": 1, "content": "x"}]}, "messages[0].role"),
        ({"messages": [*HELLO, {"role": "user", "content": 1}]}, "messages[1].content"),
        ({"messages": [*HELLO, {"role": "user", "content": {}}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"text": "x"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": 1}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "two words"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": "x", "a b": [1]}]}, "messages[0].a b"),
        ({"tools": [{"type": "function"}, 1]}, "tools[1]"),
        ({"tools": [{"type": "function"}, {"type": 1}]}, "tools[1].type"),
        ({"tools": [{"type": "no such tool"}]}, "tools[0].type"),
        ({"provider": {"order": "openai"}}, "provider.order"),
        ({"provider": {"only": ["a", 1]}}, "provider.only[1]"),
        ({"provider": {"ignore": ["p"] * (PROVIDERS_MAX + 1)}}, "provider.ignore"),
        ({"provider": {"allow_fallbacks": "no"}}, "provider.allow_fallbacks"),
        ({"provider": {"sort": "speed"}}, "provider.sort"),
        ({"provider": {"quantizations": None}}, "provider.quantizations"),
    ],
)
def test_a_fault_inside_a_field_names_its_place(fields: dict[str, Any], param: str) -> None:
    assert refusal(**fields).param == param


def test_a_refusal_says_the_value_and_what_would_be_right() -> None:
    assert refusal(temperature=3).message == "temperature is 3; it must be a number from 0 to 2."


def test_a_long_wrong_value_is_cut() -> None:
    assert refusal(temperature="x" * 500).message.startswith('temperature is "' + "x" * 39 + "...; it must be")


@pytest.mark.parametrize("field", ["model", "messages"])
def test_a_missing_or_null_field_that_is_needed_names_itself(field: str) -> None:
    others = {"model": "m", "messages": HELLO}
    del others[field]
    for body in (others, others | {field: None}):
        with pytest.raises(RequestError, match=f"{field} is missing") as refused:
            parsed(msgspec.json.encode(body))
        assert refused.value.param == field


def test_null_means_absent() -> None:
    names = ["temperature", "n", "stop", "stream", "provider", "models", "max_cost", "tools", "seed", "n_predict"]
    call = asked(**dict.fromkeys(names))
    assert forwarded(call) == {"model": "m", "messages": HELLO}
    assert call == asked_with_hash(call.request_hash)
    assert asked(provider={"order": None, "only": ["p"]}).preferences == Preferences(only=("p",))


def asked_with_hash(request_hash: str) -> Any:
    return msgspec.structs.replace(asked(), request_hash=request_hash)


def test_the_call_carries_what_was_asked() -> None:
    call = asked(
        model="openai/gpt-4o",
        models=["a", "b"],
        stream=True,
        stream_options={"include_usage": True},
        n=3,
        max_tokens=7,
        max_cost="0.05",
        provider={"order": ["x"], "only": ["x", "y"], "ignore": ["z"], "allow_fallbacks": False},
        user="me",
        top_k=40,
    )
    assert (call.id, call.model, call.fallbacks, call.stream) == ("call-1", "openai/gpt-4o", ("a", "b"), True)
    assert (call.include_usage, call.n, call.max_tokens, call.max_cost) == (True, 3, 7, 50_000_000)
    assert call.preferences == Preferences(order=("x",), only=("x", "y"), ignore=("z",), allow_fallbacks=False)
    assert (call.user, call.client_request_id, call.features) == ("me", None, frozenset())


def test_the_routers_own_fields_are_not_forwarded_and_every_other_is() -> None:
    call = asked(models=["a"], provider={}, max_cost="1", top_k=40, tools=[], response_format={"type": "text"})
    assert call.fields.keys() == {"model", "messages", "top_k", "tools", "response_format"}


def test_values_are_forwarded_byte_for_byte() -> None:
    call = parsed(rb'{"model":"m","messages":[{"role":"user","content":"\u00e9"}],"x":{"a" : 1.50e0}}')
    assert bytes(call.fields["x"]) == b'{"a" : 1.50e0}'
    assert bytes(call.fields["messages"]) == rb'[{"role":"user","content":"\u00e9"}]'


@pytest.mark.parametrize(
    ("fields", "cap", "name", "kept"),
    [
        ({}, None, "max_tokens", set()),
        ({"max_tokens": 5}, 5, "max_tokens", {"max_tokens"}),
        ({"max_completion_tokens": 5}, 5, "max_completion_tokens", {"max_completion_tokens"}),
        ({"max_tokens": 5, "max_completion_tokens": 5}, 5, "max_completion_tokens", {"max_completion_tokens"}),
    ],
)
def test_the_output_cap_is_read_and_forwarded_in_one_spelling(
    fields: dict[str, int], cap: int | None, name: str, kept: set[str]
) -> None:
    call = asked(**fields)
    assert (call.max_tokens, call.max_tokens_field) == (cap, name)
    assert call.fields.keys() == {"model", "messages"} | kept


def test_output_caps_that_disagree_are_refused() -> None:
    assert refusal(max_tokens=5, max_completion_tokens=6).param == "max_tokens"


@pytest.mark.parametrize("name", OTHER_SPELLINGS)
def test_a_spelling_that_would_get_past_the_hold_is_refused(name: str) -> None:
    refused = refusal(**{name: 5})
    assert refused.param == name
    assert f"use {OTHER_SPELLINGS[name]}" in refused.message


def test_the_limits_are_those_given() -> None:
    tight = Limits(max_messages=1, max_models=1, max_stop=1, max_n=1)
    for fields in ({"messages": HELLO * 2}, {"models": ["a", "b"]}, {"stop": ["a", "b"]}, {"n": 2}):
        asked(**fields)
        with pytest.raises(RequestError) as refused:
            asked(tight, **fields)
        assert [refused.value.param] == list(fields)


def test_a_field_that_is_read_whole_may_not_be_huge() -> None:
    assert refusal(stop=["x" * SMALL_FIELD_BYTES_MAX]).param == "stop"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "empty"),
        (b" ", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"model":"m","temperature":NaN}', "not valid JSON"),
        (b'{"model":"m","temperature":-Infinity}', "not valid JSON"),
        (b'{"model":"m",}', "not valid JSON"),
        (b'{"model":"m"} {}', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b"[]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'"x"', "must be a JSON object"),
        (b'{"model":"\xff"}', r"not valid UTF-8 \(byte 10\)"),
        (b'{"x":{"y":"\xed\xa0\x80"}}', "not valid UTF-8"),
        (b'{"x":' + b"[" * 1_000 + b"]" * 1_000 + b"}", "nested too deep: at most 128 levels"),
        (b'{"x":[' + b"{}," * 200_000 + b"{}]}", "more than 200000 arrays, objects and members"),
    ],
)
def test_what_is_no_json_object_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        parsed(body)
    assert (refused.value.status, refused.value.param) == (400, None)


def test_nesting_that_no_decoder_survives_is_refused_whatever_the_limit() -> None:
    with pytest.raises(RequestError, match="nested too deep"):
        parsed(b'{"x":' + b"[" * 100_000, Limits(max_depth=10**6, max_nodes=10**6))


def test_of_a_repeated_field_the_last_is_read_and_the_only_one_forwarded() -> None:
    call = parsed(b'{"n":9,"model":"a","messages":[],"model":"b","n":2,"messages":[{"role":"user"}],"x":1,"x":2}')
    assert (call.model, call.n) == ("b", 2)
    assert forwarded(call) == {"n": 2, "model": "b", "messages": [{"role": "user"}], "x": 2}


def test_the_hash_is_of_the_body_as_it_came() -> None:
    assert parsed(b'{"model":"m","messages":[{"role":"u"}]}').request_hash == (
        "bd57d79f0d0745010a56e422d8413d42bbdd2bb2011aa53a070ba1eb8966ae6a"
    )


def test_the_clients_request_id_is_recorded_up_to_a_length() -> None:
    body = b'{"model":"m","messages":[{"role":"u"}]}'
    assert parse(body, id="i", limits=Limits(), client_request_id="mine").client_request_id == "mine"
    assert parse(body, id="i", limits=Limits(), client_request_id="x" * 999).client_request_id == "x" * 256


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Max_Tokens", "max_tokens"),
        ("maxTokens", "max_tokens"),
        ("max_to\u212aens", "max_tokens"),  # the Kelvin sign: Go folds it to k
        ("maxCompletionTokens", "max_completion_tokens"),
        ("N", "n"),
        ("MODEL", "model"),
        ("me\u017f\u017fages", "messages"),  # the long s
        ("Stream", "stream"),
        ("Tools", "tools"),
        ("numPredict", "num_predict"),
        ("webSearchOptions", "web_search_options"),
        ("Chat_Template", "chat_template"),
        ("__n__", "n"),
    ],
)
def test_a_field_in_a_spelling_that_some_server_takes_for_a_known_one_is_refused(name: str, meant: str) -> None:
    error = refusal(**{name: 1})
    assert (error.param, error.message) == (name, f"{name} is not served here; write {meant}.")


def test_usage_can_not_be_turned_off_by_another_spelling() -> None:
    error = refusal(stream=True, stream_options={"include_usage": True, "Include_Usage": False})
    assert error.param == "stream_options.Include_Usage"


def test_fields_of_vendors_are_not_mistaken_for_known_ones() -> None:
    vendors = {"top_k": 3, "seed": 1, "min_p": 0.1, "x" * 300: 1, "stream_options": {"include_obfuscation": False}}
    assert forwarded(asked(**vendors)).items() >= vendors.items()


def test_a_body_of_too_many_fields_is_refused() -> None:
    asked(**{f"x{number}": 1 for number in range(FIELDS_MAX - 2)})
    assert "at most 256" in refusal(**{f"x{number}": 1 for number in range(FIELDS_MAX)}).message


def test_no_field_that_is_no_prompt_is_another_spelling_of_a_known_one() -> None:
    known = spellings(FIELDS, OTHER_SPELLINGS, FIELD_FEATURES, ("messages", "tools", "chat_template_kwargs"))
    check_spelling(dict.fromkeys(NOT_PROMPT, Raw(b"1")), known)  # such fields alone are not compared at all
