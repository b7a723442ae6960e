"""Providers that refuse what OpenAI takes: with the quirk that says so a call works, without it it doesn't."""

from pathlib import Path
from typing import Any

import pytest

from helpers.providers import answering, provider
from helpers.raw_server import RawServer
from helpers.running import Running, chat, running
from tollway.wire import json

DEVELOPER = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "hello"}]


async def answered(router: Running, **fields: Any) -> Any:
    wallet = await router.wallet("1.00")
    answer = await router.post(wallet, chat(**fields))
    assert answer.status_code == 200, answer.text
    return answer


def got(router: Running) -> dict[str, Any]:
    """What the provider was sent last."""
    body: dict[str, Any] = json.decode(router.simulator.log[-1].body)
    return body


@pytest.mark.parametrize(
    ("refuse", "quirk", "fields"),
    [
        ("max_completion_tokens", "max_tokens", {"max_completion_tokens": 5}),
        ("max_tokens", "max_completion_tokens", {"max_tokens": 5}),
        ("developer", "no_developer_role", {"messages": DEVELOPER}),
        ("stream_options", "no_stream_options", {"stream": True}),
        ("n", "one_choice", {"n": 1}),
    ],
)
async def test_a_provider_that_refuses_it_serves_with_the_quirk_alone(
    refuse: str, quirk: str, fields: dict[str, Any]
) -> None:
    async with running({"sim": f"refuse={refuse}"}) as router:
        wallet = await router.wallet("1.00")
        assert (await router.post(wallet, chat(**fields))).status_code == 400
    async with running({"sim": f"refuse={refuse}"}, provider_extra=f'quirks = ["{quirk}"]') as router:
        await answered(router, **fields)


async def test_a_lowered_limit_holds_under_the_name_that_the_provider_knows() -> None:
    async with running(
        {"sim": "refuse=max_completion_tokens&tokens=50"}, provider_extra='quirks = ["max_tokens"]'
    ) as router:
        answer = await answered(router, max_completion_tokens=1_000_000)
        assert got(router)["max_tokens"] == 1_000
        assert answer.json()["usage"]["completion_tokens"] == 50


async def test_a_developers_message_reaches_the_provider_as_the_systems() -> None:
    async with running({"sim": "refuse=developer"}, provider_extra='quirks = ["no_developer_role"]') as router:
        await answered(router, messages=DEVELOPER)
        assert got(router)["messages"] == [{"role": "system", "content": "Be brief."}, DEVELOPER[1]]


async def test_a_stream_without_usage_is_billed_by_our_own_count() -> None:
    scenario = "refuse=stream_options&usage=missing&tokens=30"
    async with running({"sim": scenario}, provider_extra='quirks = ["no_stream_options"]') as router:
        wallet = await router.wallet("1.00")
        answer = await router.post(wallet, chat(stream=True, stream_options={"include_usage": True}))
        events = [json.decode(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
        assert answer.text.rstrip().endswith("[DONE]")
        counted = next(event["usage"] for event in events if event.get("usage"))
        assert counted["completion_tokens"] > 0
        balance = await router.balance(wallet)
        assert balance.available < 10**9
        assert balance.debits_pending == 0


async def test_a_call_for_more_choices_passes_over_who_gives_one() -> None:
    async with running({"one": "", "any": ""}, provider_extra='quirks = ["one_choice"]') as router:
        wallet = await router.wallet("1.00")
        refused = await router.post(wallet, chat(n=2))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_provider_available")
        assert {told["reason"] for told in refused.json()["error"]["candidates"]} == {"one_choice"}


async def test_a_key_in_a_header_of_its_own_and_a_query_reach_the_provider_and_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("azure-s3cret-key")
    extra = f"""
        auth_header = "api-key"
        api_key_file = "{tmp_path / "key"}"
        query = {{ api-version = "2024-10-21" }}
    """
    async with running(provider_extra=extra) as router:
        await answered(router)
        sent = router.simulator.log[-1]
        headers = {name.lower(): value for name, value in dict(sent.headers).items()}
        assert headers["api-key"] == "azure-s3cret-key"
        assert "authorization" not in headers
        assert sent.path.endswith("/v1/chat/completions?api-version=2024-10-21")
    echo = b'{"error":{"message":"no such key: azure-s3cret-key","type":"invalid_request_error"}}'
    async with RawServer(answering(echo, status=400)) as raw:
        config = provider("raw", raw.url).replace("[[providers.models]]", f"{extra}\n[[providers.models]]")
        async with running(config=config) as router:
            body = chat() | {"model": "raw/model"}
            refused = await router.post(await router.wallet("1.00"), body)
            assert (refused.status_code, "no such key" in refused.text) == (400, True)
            assert "s3cret" not in refused.text
