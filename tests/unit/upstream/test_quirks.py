"""What each quirk does to the bytes that are sent, and that a provider without quirks is sent what it always was."""

from typing import Any, get_args

import pytest

from helpers.attempting import candidate
from helpers.requests import parsed
from tollway.domain.quirks import Quirk
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI
from tollway.upstream.endpoint import Endpoint
from tollway.upstream.quirks import rewrites
from tollway.wire import json

HELLO = b'{"role":"user","content":"Hello"}'


def sent(*quirks: Quirk, messages: bytes = HELLO, more: bytes = b"", cap: int | None = None) -> bytes:
    """What a provider with `quirks` gets of a request with `more` fields."""
    endpoint = Endpoint(id="p", base_url="https://p.test/v1", user="omit", quirks=frozenset(quirks))
    call = parsed(b'{"model":"m","messages":[' + messages + b"]" + more + b"}")
    return OpenAIOpenAI(endpoint).request(call, candidate("p"), max_tokens=cap).body


def fields(*quirks: Quirk, **written: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.decode(sent(*quirks, **written))
    del found["model"], found["messages"]
    return found


def test_every_quirk_has_a_rewrite_and_none_is_made_without_one() -> None:
    assert len(rewrites(get_args(Quirk))) == len(get_args(Quirk))
    assert rewrites(()) == ()


@pytest.mark.parametrize("limit", [b',"max_tokens":7', b',"max_completion_tokens":7'])
def test_the_output_limit_goes_under_the_name_that_the_provider_knows(limit: bytes) -> None:
    assert fields("max_tokens", more=limit) == {"max_tokens": 7}
    assert fields("max_completion_tokens", more=limit) == {"max_completion_tokens": 7}


@pytest.mark.parametrize("limit", [b"", b',"max_tokens":7', b',"max_completion_tokens":7'])
def test_a_limit_that_the_router_lowers_does_too(limit: bytes) -> None:
    assert fields("max_tokens", more=limit, cap=5) == {"max_tokens": 5}
    assert fields("max_completion_tokens", more=limit, cap=5) == {"max_completion_tokens": 5}


def test_no_limit_is_made_up() -> None:
    assert fields("max_tokens") == fields("max_completion_tokens") == {}


def test_a_stream_does_not_ask_for_usage_where_it_can_not() -> None:
    asked = b',"stream":true,"stream_options":{"include_usage":true}'
    assert fields("no_stream_options", more=asked) == {"stream": True}
    assert fields("no_stream_options", more=b',"stream":true') == {"stream": True}


def test_one_choice_is_what_a_request_says_that_names_no_number() -> None:
    assert fields("one_choice", more=b',"n":1') == {}
    assert fields(more=b',"n":1') == {"n": 1}


@pytest.mark.parametrize("role", [b'"developer"', b'"d\\u0065veloper"'])
def test_a_developers_message_goes_as_the_systems_and_every_other_as_it_came(role: bytes) -> None:
    user = b'{"content":"a developer  \\u00e9","role":"user"}'
    assistant = b'{"role":"assistant","content":"hi"}'
    developer = b'{"role":' + role + b',"content":[{"type":"text","text":"1.0"}],"name":"n"}'
    body = sent("no_developer_role", messages=b",".join((developer, user, assistant)))
    first, *others = map(bytes, json.decode_as(json.decode_fields(body)["messages"], list[json.Raw]))
    assert first == b'{"role":"system","content":[{"type":"text","text":"1.0"}],"name":"n"}'
    assert others == [user, assistant]


def test_without_a_developers_message_nothing_is_rewritten() -> None:
    assert sent("no_developer_role", messages=b'{"role":"system","content":"a  b"}') == sent(
        messages=b'{"role":"system","content":"a  b"}'
    )


def test_messages_that_are_no_messages_are_the_providers_to_refuse() -> None:
    fields: dict[str, json.Raw] = {"messages": json.Raw(b'[{"content":"developer"}]')}
    (rewrite,) = rewrites({"no_developer_role"})
    rewrite(fields)
    assert bytes(fields["messages"]) == b'[{"content":"developer"}]'
    empty: dict[str, json.Raw] = {}
    rewrite(empty)
    assert empty == {}
