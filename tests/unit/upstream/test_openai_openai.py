"""OpenAI to OpenAI: the request that is sent, and how a whole answer is read."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.answer import Answer
from tollway.domain.call import Call, PromptSize
from tollway.domain.errors import ProviderFault
from tollway.domain.plan import Candidate, Timeouts
from tollway.domain.price import Price, Rates, Tariff
from tollway.domain.usage import Generated
from tollway.upstream.dialect import Dialect
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI
from tollway.upstream.endpoint import Endpoint, UserField
from tollway.wire import json

ENDPOINT = Endpoint(id="example", base_url="https://api.example.com/v1", api_key="my-own-odd-key")
CANDIDATE = Candidate(
    provider="example",
    model="openai/gpt-4o",
    upstream="gpt-4o-é",
    tariff=Tariff(buy=Price(rates=Rates(input=1, output=1))),
    context_length=1000,
    max_output_tokens=100,
    timeouts=Timeouts(connect=2.5),
)


class Noon:
    def now_ms(self) -> int:
        return 1_700_000_000_000

    def monotonic(self) -> float:
        return 0.0


DIALECT: Dialect = OpenAIOpenAI(ENDPOINT, Noon())


def call(body: bytes, **more: Any) -> Call:
    return Call(
        id="c",
        model="m",
        prompt=PromptSize(text_bytes=1, messages=1),
        fields=json.decode_fields(body),
        request_hash="h",
        **more,
    )


def sent(body: bytes, cap: int | None = None, **more: Any) -> bytes:
    return DIALECT.request(call(body, **more), CANDIDATE, max_tokens=cap).body


# --- requests


def test_what_the_provider_is_known_not_to_take_is_left_out() -> None:
    picky = msgspec.structs.replace(CANDIDATE, unsupported=frozenset({"tools", "logprobs", "structured_outputs"}))
    body = b'{"model":"m","messages":[],"tools":[],"tool_choice":"auto","logprobs":true,"top_logprobs":2,"seed":1,'
    body += b'"response_format":{"type":"json_schema"},"max_tokens":5}'
    asked = call(body, needs=frozenset({"structured_outputs"}))
    assert json.decode(DIALECT.request(asked, picky).body).keys() == {
        "model",
        "messages",
        "seed",
        "max_tokens",
    }
    assert json.decode(DIALECT.request(asked, CANDIDATE).body).keys() == asked.fields.keys()


def test_a_request_goes_to_the_endpoint_with_its_headers_alone() -> None:
    request = DIALECT.request(call(b'{"model":"m","messages":[]}'), CANDIDATE)
    assert (request.method, request.url) == ("POST", "https://api.example.com/v1/chat/completions")
    assert request.headers is ENDPOINT.request_headers
    assert request.connect_timeout == 2.5


def test_values_stay_byte_faithful_and_the_model_becomes_the_providers_name() -> None:
    body = b'{"messages":[{"role":"user","content":"\\u00e9\xc3\xa9 "}],"model":"m","temperature":1.50e0,"top_k":[ 1 ]}'
    assert sent(body) == body.replace(b'"m"', '"gpt-4o-é"'.encode())


NAMED = b'{"model":"m","messages":[],"user":"mine"}'
UNNAMED = b'{"model":"m","messages":[]}'


@pytest.mark.parametrize(
    ("mode", "body", "pseudonym", "seen"),
    [
        ("hash", NAMED, "0ab1", "0ab1"),
        ("hash", UNNAMED, "0ab1", "0ab1"),
        ("hash", NAMED, "", None),  # nobody made one: never the caller's own
        ("forward", NAMED, "0ab1", "mine"),
        ("forward", UNNAMED, "0ab1", None),
        ("omit", NAMED, "0ab1", None),
        ("omit", UNNAMED, "0ab1", None),
    ],
)
def test_a_provider_sees_the_user_that_it_is_meant_to_see(
    mode: UserField, body: bytes, pseudonym: str, seen: str | None
) -> None:
    endpoint = Endpoint(id="example", base_url="https://api.example.com/v1", user=mode)
    request = OpenAIOpenAI(endpoint).request(call(body, pseudonym=pseudonym), CANDIDATE)
    assert json.decode(request.body).get("user") == seen


def test_the_call_is_not_changed_by_being_translated() -> None:
    asked = call(b'{"model":"m","stream":true}', stream=True, max_tokens=None)
    before = dict(asked.fields)
    DIALECT.request(asked, CANDIDATE, max_tokens=5)
    assert asked.fields == before


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (b"", b'{"include_usage":true}'),
        (b',"stream_options":null', b'{"include_usage":true}'),
        (b',"stream_options":{}', b'{"include_usage":true}'),
        (b',"stream_options":{"include_usage":false}', b'{"include_usage":true}'),
        (b',"stream_options":{"x":[ 1],"include_usage":null,"y":2}', b'{"x":[ 1],"include_usage":true,"y":2}'),
    ],
)
def test_a_stream_always_asks_for_usage_and_keeps_the_callers_other_options(options: bytes, asked: bytes) -> None:
    body = sent(b'{"model":"m","stream":true' + options + b"}", stream=True)
    assert bytes(json.decode_fields(body)["stream_options"]) == asked
    assert bytes(json.decode_fields(body)["stream"]) == b"true"


def test_a_batch_request_asks_for_no_stream_options() -> None:
    assert sent(b'{"model":"m","stream":false}') == '{"model":"gpt-4o-é","stream":false}'.encode()


@pytest.mark.parametrize(
    ("fields", "more", "cap", "expected"),
    [
        pytest.param("", {}, None, {}, id="no cap, none asked for"),
        pytest.param('"max_tokens":9', {"max_tokens": 9}, None, {"max_tokens": 9}, id="the caller's stays"),
        pytest.param("", {}, 7, {"max_tokens": 7}, id="a cap where there was none"),
        pytest.param(
            "", {"max_tokens_field": "max_completion_tokens"}, 7, {"max_completion_tokens": 7}, id="its spelling"
        ),
        pytest.param('"max_tokens":9', {"max_tokens": 9}, 7, {"max_tokens": 7}, id="lowered"),
        pytest.param('"max_tokens":5', {"max_tokens": 5}, 7, {"max_tokens": 5}, id="never raised"),
        pytest.param(
            '"max_completion_tokens":9',
            {"max_tokens": 9},
            7,
            {"max_completion_tokens": 7},
            id="where the caller put it",
        ),
        pytest.param(
            '"max_tokens":9,"max_completion_tokens":9',
            {"max_tokens": 9},
            7,
            {"max_tokens": 7, "max_completion_tokens": 7},
            id="both spellings",
        ),
        pytest.param(
            '"max_tokens":null,"max_completion_tokens":9',
            {"max_tokens": 9},
            7,
            {"max_tokens": None, "max_completion_tokens": 7},
            id="null is absent",
        ),
    ],
)
def test_the_output_limit(fields: str, more: dict[str, Any], cap: int | None, expected: dict[str, Any]) -> None:
    body = sent(f'{{"model":"m"{"," if fields else ""}{fields}}}'.encode(), cap, **more)
    assert {key: value for key, value in json.decode(body).items() if key != "model"} == expected


# --- whole answers

MESSAGE = {"role": "assistant", "content": "hé"}


def answer(value: Any) -> Answer:
    return DIALECT.answer(value if isinstance(value, bytes) else json.encode(value))


def test_an_answer_is_kept_byte_faithful_with_its_usage_beside_it() -> None:
    body = (
        b'{"id":"x-1","choices":[ {"index":0,"message":{"content":"h\\u00e9"},"finish_reason":"stop"}],'
        b'"usage":{ "prompt_tokens":1,"cost":9},"tollway":{"a":1},"model":"gpt"}'
    )
    found = answer(body)
    assert json.encode_fields(found.fields) == body.replace(b'"tollway":{"a":1},', b"")
    assert found.usage == b'{ "prompt_tokens":1,"cost":9}'
    assert found.response_id == "x-1"
    assert found.generated == Generated(text_bytes=3)
    assert found.finish_reasons == ("stop",)


def test_an_id_is_kept_up_to_a_length() -> None:
    found = answer({"id": "i" * 1_000_000, "choices": [{"index": 0, "message": {"content": "x"}}]})
    assert found.response_id == "i" * 200


def test_every_choice_counts_and_finish_reasons_stand_in_the_order_of_the_choices() -> None:
    tool = {"id": "c", "type": "function", "function": {"name": "fn", "arguments": "{}"}}
    found = answer(
        {
            "id": None,
            "choices": [
                {"index": 2, "message": {"content": None, "tool_calls": [tool]}, "finish_reason": "tool_calls"},
                {"index": 0, "message": MESSAGE | {"reasoning_content": "ab"}, "finish_reason": None},
                {"index": 1, "message": {"audio": {"data": "x"}, "images": [{}]}, "finish_reason": ""},
            ],
            "usage": None,
        }
    )
    assert found.finish_reasons == (None, None, "tool_calls")
    assert found.generated == Generated(text_bytes=3 + 2 + 4, other_parts=2)
    assert found.usage is None
    assert found.response_id is None


def test_an_answer_of_unusual_types_is_no_damage() -> None:
    found = answer({"id": 7, "choices": [{"message": {"content": [{"type": "text", "text": "abc"}]}}], "usage": 7})
    assert found.generated == Generated(text_bytes=3)
    assert found.usage == b"7"


def test_half_of_a_surrogate_pair_in_an_answer_is_replaced() -> None:
    found = answer(rb'{"choices":[{"message":{"content":"\ud83d"}}]}')
    assert bytes(found.fields["choices"]) == rb'[{"message":{"content":"\ufffd"}}]'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"choices":[{"message":{"content":"a"}}]',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
        b'data: {"choices":[]}\n\n',
        b"[]",
        b"{}",
        b'{"choices":null}',
        b'{"choices":[]}',
        b'{"choices":{}}',
        b'{"choices":[7]}',
        b'{"choices":[{}]}',
        b'{"choices":[{"message":null}]}',
        b'{"choices":[{"message":{}},{"text":"a"}]}',
    ],
)
def test_what_is_no_chat_completion_is_malformed(body: bytes) -> None:
    with pytest.raises(ProviderFault) as caught:
        answer(body)
    assert (caught.value.outcome, caught.value.status) == ("malformed", 200)


def test_an_error_with_status_200_is_an_error_and_its_secrets_are_kept_out() -> None:
    body = json.encode({"error": {"message": "key my-own-odd-key", "code": 503}, "choices": [{"message": MESSAGE}]})
    with pytest.raises(ProviderFault) as caught:
        DIALECT.answer(body)
    assert (caught.value.outcome, caught.value.status) == ("error_event", 503)
    assert caught.value.detail == "key [redacted]"


@given(
    st.binary()
    | st.dictionaries(st.sampled_from(["choices", "usage", "error"]), st.none() | st.integers()).map(json.encode)
)
def test_no_body_raises_anything_but_a_fault(body: bytes) -> None:
    with pytest.raises(ProviderFault):
        DIALECT.answer(body)


# --- error answers


def test_an_error_answer_is_a_fault_without_this_endpoints_secrets() -> None:
    fault = DIALECT.fault(400, {}, b'{"error":{"message":"bad my-own-odd-key"}}')
    assert (fault.outcome, fault.reason) == ("rejected", "bad [redacted]")


def test_a_date_to_retry_after_is_taken_against_the_clock() -> None:
    fault = DIALECT.fault(429, {"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, b"")
    assert fault.retry_after_ms == 30_000


def test_the_clock_is_the_systems_unless_told() -> None:
    fault = OpenAIOpenAI(ENDPOINT).fault(429, {"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, b"")
    assert fault.retry_after_ms == 0
