"""Chat requests that are refused, through HTTP: each names what is wrong and what would be right, at no cost.

Of a repeated key, the value that reaches the provider is the one that was checked, measured and held for.
"""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from helpers.refusals import refused, unharmed
from helpers.running import Running, chat, running
from tollway.client.wallet import Wallet
from tollway.domain.money import parse_usd

pytestmark = pytest.mark.asyncio(loop_scope="module")

MB = 1_000_000
HELLO = '[{"role": "user", "content": "hello"}]'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router() -> AsyncIterator[Running]:
    async with running() as router:
        yield router


async def send(router: Running, wallet: Wallet, body: Any, **headers: str) -> httpx2.Response:
    """`body` as it stands: bytes, or pieces of them, whose length is then not declared."""
    return await router.http.post("/v1/chat/completions", content=body, headers=router.headers(wallet) | headers)


# --- bodies that are no request

BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "The body is empty; send a JSON object with model and messages."),
    "blank": (b" \n ", "The body is not valid JSON"),
    "text": (b"hello", "The body is not valid JSON"),
    "cut short": (b'{"model": "sim/model"', "The body is not valid JSON"),
    "a comma too many": (b'{"model": "sim/model",}', "The body is not valid JSON"),
    "two objects": (b"{}{}", "The body is not valid JSON"),
    "no UTF-8": (b'{"model": "\xff"}', "The body is not valid UTF-8 (byte 11)."),
    "half a surrogate pair": (b'{"model": "\\ud800"}', "The body is not valid JSON"),
    "an array": (b"[]", "The body must be a JSON object with model and messages."),
    "a string": (b'"sim/model"', "The body must be a JSON object with model and messages."),
    "a number": (b"5", "The body must be a JSON object with model and messages."),
    "null": (b"null", "The body must be a JSON object with model and messages."),
    "NaN": (b'{"model": "sim/model", "messages": %b, "temperature": NaN}' % HELLO.encode(), "not valid JSON"),
    "Infinity": (b'{"model": "sim/model", "messages": %b, "top_p": Infinity}' % HELLO.encode(), "not valid JSON"),
    "1,000 deep": (b'{"x": ' + b"[" * 1_000 + b"]" * 1_000 + b"}", "at most 100 levels of arrays and objects"),
    "1,000 deep and cut short": (b'{"messages":' * 1_000, "at most 100 levels of arrays and objects"),
    "100,000 deep": (b"[" * 100_000, "at most 100 levels of arrays and objects"),
    "300,000 members": (b'{"x": {' + b'"a":1,' * 300_000 + b'"b":1}}', "more than 200000 arrays, objects and members"),
}


@pytest.mark.parametrize("case", BODIES)
async def test_a_body_that_is_no_request_is_refused(router: Running, case: str) -> None:
    body, says = BODIES[case]
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        refused(await send(router, wallet, body), 400, "invalid_request", says=says)


async def test_a_body_of_21_mb_is_refused_whether_its_length_is_declared_or_not(router: Running) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(21):
            yield b"x" * MB

    wallet = await router.wallet("1.00")
    for body in (b"x" * 21 * MB, pieces()):
        async with unharmed(router, wallet):
            answer = await send(router, wallet, body)
            refused(answer, 413, "request_too_large", says="at most 20000000 bytes")


async def test_a_body_just_under_the_limit_is_read(router: Running) -> None:
    wallet = await router.wallet("50.00")
    body = json.dumps(chat(max_tokens=1, metadata={"x": "y" * (20 * MB - 200)})).encode()
    assert 20 * MB - 200 < len(body) <= 20 * MB
    assert (await send(router, wallet, body)).status_code == 200


@pytest.mark.parametrize(
    "value", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json", ""]
)
async def test_a_content_type_that_is_not_json_is_refused(router: Running, value: str) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        answer = await send(router, wallet, json.dumps(chat()).encode(), **{"content-type": value})
        refused(answer, 415, "unsupported_media_type", says="send it with content-type: application/json.")


async def test_a_compressed_body_is_refused(router: Running) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        answer = await send(router, wallet, b"\x1f\x8b", **{"content-encoding": "gzip"})
        refused(answer, 415, "unsupported_media_type", says="send it without content-encoding.")


# --- fields

ABSENT = object()
# What is changed in a good request; which parameter is named; what is said.
FIELDS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no model": ({"model": ABSENT}, "model", "model is missing; it must be a model id"),
    "model null": ({"model": None}, "model", "model is missing"),
    "model a number": ({"model": 5}, "model", "model is 5; it must be a model id"),
    "model empty": ({"model": ""}, "model", 'model is ""; it must be a model id'),
    "model very long": ({"model": "m" * 300}, "model", "a string of 1 to 256 characters"),
    "no messages": ({"messages": ABSENT}, "messages", "messages is missing"),
    "messages null": ({"messages": None}, "messages", "messages is missing"),
    "messages empty": ({"messages": []}, "messages", "messages is empty"),
    "messages a string": ({"messages": "hello"}, "messages", "messages must be an array of messages."),
    "messages an object": ({"messages": {"role": "user"}}, "messages", "messages must be an array of messages."),
    "a message that is a string": (
        {"messages": ["hello"]},
        "messages[0]",
        "messages[0] must be an object with a role.",
    ),
    "a message without a role": ({"messages": [{"content": "x"}]}, "messages[0].role", "role is missing"),
    "a role that is a number": ({"messages": [{"role": 1, "content": "x"}]}, "messages[0].role", "must be a string"),
    "content a number": ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content", "a string or an array"),
    "a part that is a string": (
        {"messages": [{"role": "user", "content": ["x"]}]},
        "messages[0].content[0]",
        "a string or an array of parts",
    ),
    "a part without a type": (
        {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
        "messages[0].content[0].type",
        "type is missing; it must be a string",
    ),
    "10,001 messages": ({"messages": [{"role": "user", "content": ""}] * 10_001}, "messages", "at most 10000"),
    "temperature 3": ({"temperature": 3}, "temperature", "temperature is 3; it must be a number from 0 to 2."),
    "temperature -0.1": ({"temperature": -0.1}, "temperature", "a number from 0 to 2"),
    "temperature a string": ({"temperature": "hot"}, "temperature", 'temperature is "hot"; it must be a number'),
    "temperature true": ({"temperature": True}, "temperature", "a number from 0 to 2"),
    "top_p 1.1": ({"top_p": 1.1}, "top_p", "a number from 0 to 1"),
    "presence_penalty 2.1": ({"presence_penalty": 2.1}, "presence_penalty", "a number from -2 to 2"),
    "frequency_penalty -3": ({"frequency_penalty": -3}, "frequency_penalty", "a number from -2 to 2"),
    "stop with 5 strings": ({"stop": list("abcde")}, "stop", "stop has 5 strings; at most 4 are allowed."),
    "stop a number": ({"stop": 5}, "stop", "a string or an array of strings"),
    "stop with a number": ({"stop": ["a", 5]}, "stop[1]", "a string or an array of strings"),
    "n 0": ({"n": 0}, "n", "n is 0; it must be an integer from 1 to"),
    "n 129": ({"n": 129}, "n", "n is 129; it must be at most 128."),
    "n 1.5": ({"n": 1.5}, "n", "an integer from 1 to"),
    "n a string": ({"n": "2"}, "n", "an integer from 1 to"),
    "n true": ({"n": True}, "n", "an integer from 1 to"),
    "max_tokens -1": ({"max_tokens": -1}, "max_tokens", "max_tokens is -1; it must be an integer from 1 to"),
    "max_tokens 0": ({"max_tokens": 0}, "max_tokens", "an integer from 1 to"),
    "max_tokens 1.5": ({"max_tokens": 1.5}, "max_tokens", "an integer from 1 to"),
    "max_tokens a string": ({"max_tokens": "10"}, "max_tokens", "an integer from 1 to"),
    "max_completion_tokens 0": ({"max_completion_tokens": 0}, "max_completion_tokens", "an integer from 1 to"),
    "caps that disagree": (
        {"max_tokens": 5, "max_completion_tokens": 6},
        "max_tokens",
        "max_tokens is 5 and max_completion_tokens is 6; give one of them, or the same value.",
    ),
    "a cap in another spelling": ({"max_output_tokens": 5}, "max_output_tokens", "use max_tokens instead."),
    "a count in another spelling": ({"best_of": 5}, "best_of", "use n instead."),
    "stream a string": ({"stream": "yes"}, "stream", 'stream is "yes"; it must be true or false.'),
    "stream_options a number": ({"stream_options": 1}, "stream_options", "an object such as {include_usage: true}"),
    "include_usage a string": (
        {"stream_options": {"include_usage": "yes"}},
        "stream_options.include_usage",
        "an object such as",
    ),
    "user a number": ({"user": 5}, "user", "a string of at most 1024 characters"),
    "user very long": ({"user": "u" * 1_025}, "user", "a string of at most 1024 characters"),
    "tools an object": ({"tools": {}}, "tools", "it must be an array of objects."),
    "a tool that is a string": ({"tools": ["x"]}, "tools[0]", "it must be an array of objects."),
    "provider a string": ({"provider": "sim"}, "provider", "it must be an object of preferences"),
    "an unknown preference": (
        {"provider": {"quantizations": ["fp8"]}},
        "provider.quantizations",
        "provider.quantizations is not served here; order, only, ignore, allow_fallbacks, sort, require_parameters, "
        "data_collection, max_price, preferred_max_latency, preferred_min_throughput are.",
    ),
    "order a string": ({"provider": {"order": "sim"}}, "provider.order", "an array of provider names"),
    "order with a number": ({"provider": {"order": ["sim", 5]}}, "provider.order[1]", "an array of provider names"),
    "65 providers": ({"provider": {"only": ["sim"] * 65}}, "provider.only", "has 65 entries; at most 64 are read."),
    "allow_fallbacks a string": (
        {"provider": {"allow_fallbacks": "no"}},
        "provider.allow_fallbacks",
        "must be true or false",
    ),
    "models with 9 entries": ({"models": ["sim/model"] * 9}, "models", "models has 9 ids; at most 8 are tried."),
    "models a string": ({"models": "sim/model"}, "models", "an array of model ids to fall back to"),
    "models with a number": ({"models": ["model", 5]}, "models[1]", "an array of model ids to fall back to"),
    "max_cost a number": ({"max_cost": 0.05}, "max_cost", "an amount in USD as a string"),
    "max_cost a word": ({"max_cost": "cheap"}, "max_cost", "max_cost is 'cheap'; it must be an amount in USD"),
    "max_cost negative": ({"max_cost": "-1"}, "max_cost", "an amount in USD"),
    "max_cost too low for a token": ({"max_cost": "0.000000001"}, "max_cost", "one token may cost up to 0."),
}


@pytest.mark.parametrize("case", FIELDS)
async def test_a_field_that_is_wrong_is_named(router: Running, case: str) -> None:
    changes, param, says = FIELDS[case]
    body = {key: value for key, value in (chat() | changes).items() if value is not ABSENT}
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        refused(await router.post(wallet, body), 400, "invalid_request", param=param, says=says)


async def test_a_number_beyond_what_readers_agree_on_is_refused(router: Running) -> None:
    wallet = await router.wallet("1.00")
    for name, number in (("temperature", b"1e999"), ("max_tokens", b"1" + b"0" * 30), ("n", b"9" * 3_000)):
        body = b'{"model": "sim/model", "messages": %b, "%b": %b}' % (HELLO.encode(), name.encode(), number)
        async with unharmed(router, wallet):
            error = refused(await send(router, wallet, body), 400, "invalid_request", param=name)
            assert len(error["message"]) < 150


# --- names

NAMES: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "an unknown model": ({"model": "sim/modle"}, "model_not_found", "model", "Did you mean sim/model?"),
    "a model like no other": ({"model": "zzz"}, "model_not_found", "model", "GET /v1/models lists them."),
    "an unknown model of a provider": ({"model": "sim:zzz"}, "model_not_found", "model", "sim does not serve 'zzz'"),
    "an unknown fallback": ({"models": ["sim/model", "zzz"]}, "model_not_found", "models[1]", "no model 'zzz'"),
    "an unknown provider to use": (
        {"provider": {"only": ["sim", "smi"]}},
        "provider_not_found",
        "provider.only[1]",
        "Did you mean sim? GET /v1/providers lists them.",
    ),
    "an unknown provider to leave out": (
        {"provider": {"ignore": ["zzz"]}},
        "provider_not_found",
        "provider.ignore[0]",
        "There is no provider 'zzz'.",
    ),
}


@pytest.mark.parametrize("case", NAMES)
async def test_an_unknown_name_is_a_404_that_suggests_what_was_meant(router: Running, case: str) -> None:
    changes, code, param, says = NAMES[case]
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        refused(await router.post(wallet, chat() | changes), 404, code, param=param, says=says)


async def test_a_feature_without_a_rate_is_refused(router: Running) -> None:
    wallet = await router.wallet("1.00")
    for changes in ({"web_search_options": {}}, {"service_tier": "flex"}, {"tools": [{"type": "code_interpreter"}]}):
        async with unharmed(router, wallet):
            refused(await router.post(wallet, chat() | changes), 400, "unpriced_feature")


async def test_preferences_that_leave_nobody_are_refused(router: Running) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        answer = await router.post(wallet, chat(provider={"ignore": ["sim"]}))
        refused(answer, 503, "no_provider_available", says="sim")
        assert answer.headers["x-should-retry"] == "false"


async def test_a_balance_that_does_not_carry_the_call_is_a_402_that_says_what_would_fit(router: Running) -> None:
    wallet = await router.wallet("0.001")
    before = await router.balance(wallet)
    error = refused(await router.post(wallet, chat()), 402, "insufficient_balance", says="lower max_tokens to")
    assert error["balance_usd"] == "0.001"
    assert parse_usd(error["hold_usd"]) > parse_usd("0.001")
    assert await router.balance(wallet) == before
    fits = error["max_tokens_affordable"]
    refused(await router.post(wallet, chat(max_tokens=fits + 1)), 402, "insufficient_balance")
    assert (await router.post(wallet, chat(max_tokens=fits))).status_code == 200


async def test_a_wallet_that_was_never_credited_has_nothing(router: Running) -> None:
    error = refused(await router.post(await router.wallet(), chat()), 402, "insufficient_balance", says="top up")
    assert error["balance_usd"] == "0.00"


# --- repeated keys


def pairs_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), f"a key is there twice: {names}"
    return dict(pairs)


async def held_for(router: Running, wallet: Wallet, body: bytes) -> tuple[dict[str, Any], int]:
    """What reached the provider of a good call, without a repeated key anywhere, and what was held for it."""
    answer = await send(router, wallet, body)
    assert answer.status_code == 200, answer.text
    seen = router.simulator.log[-1].body
    generation = await router.get(f"/generations/{answer.headers['x-request-id']}", wallet)
    return json.loads(seen, object_pairs_hook=pairs_once), parse_usd(generation["held_usd"])


LONG = json.dumps([{"role": "user", "content": "long " * 1_000}])
REPEATED = {
    "messages": (f'"messages": {LONG}, "messages": {HELLO}', {"messages": json.loads(HELLO)}),
    "messages, the long ones last": (f'"messages": {HELLO}, "messages": {LONG}', {"messages": json.loads(LONG)}),
    "max_tokens": (f'"messages": {HELLO}, "max_tokens": 900, "max_tokens": 3', {"max_tokens": 3}),
    "n": (f'"messages": {HELLO}, "n": 1, "max_tokens": 2, "n": 5', {"n": 5, "max_tokens": 2}),
    "spelled otherwise": (f'"messages": {HELLO}, "n": 1, "\\u006e": 3', {"n": 3}),
    "a wrong value first": (f'"messages": {HELLO}, "temperature": 3, "temperature": 1', {"temperature": 1}),
    "tools": (
        f'"messages": {HELLO}, "tools": [{{"type": "web_search"}}], "tools": [{{"type": "function"}}]',
        {"tools": [{"type": "function"}]},
    ),
    "a vendor's field": (f'"messages": {HELLO}, "top_k": 1, "top_k": 2', {"top_k": 2}),
    "a preference": (f'"messages": {HELLO}, "provider": {{"only": ["x"], "only": ["sim"]}}', {}),
}


@pytest.mark.parametrize("case", REPEATED)
async def test_of_a_repeated_key_the_provider_gets_the_value_that_was_measured(router: Running, case: str) -> None:
    fields, reaches = REPEATED[case]
    wallet = await router.wallet("10.00")
    seen, held = await held_for(router, wallet, f'{{"model": "sim/model", {fields}}}'.encode())
    assert reaches.items() <= seen.items()
    once = {"model": "sim/model", "messages": json.loads(HELLO)} | reaches
    assert held == (await held_for(router, wallet, json.dumps(once).encode()))[1]


async def test_of_a_repeated_key_a_wrong_last_value_is_refused(router: Running) -> None:
    wallet = await router.wallet("1.00")
    body = f'{{"model": "sim/model", "messages": {HELLO}, "temperature": 1, "temperature": 3}}'
    async with unharmed(router, wallet):
        refused(await send(router, wallet, body.encode()), 400, "invalid_request", param="temperature")


async def test_a_repeated_key_inside_a_message_is_held_for_whichever_is_taken(router: Running) -> None:
    """Messages of plain text are forwarded byte for byte, so the hold has to carry both readings."""
    wallet = await router.wallet("10.00")
    long, short = '"' + "long " * 1_000 + '"', '"short"'
    for first, last in ((long, short), (short, long)):
        twice = f'[{{"role": "user", "content": {first}, "content": {last}}}]'
        answer = await send(router, wallet, f'{{"model": "sim/model", "messages": {twice}}}'.encode())
        generation = await router.get(f"/generations/{answer.headers['x-request-id']}", wallet)
        once = f'{{"model": "sim/model", "messages": [{{"role": "user", "content": {long}}}]}}'
        assert parse_usd(generation["held_usd"]) >= (await held_for(router, wallet, once.encode()))[1]
