"""Delegated keys over real sockets: made by a fresh signature, spent through, never beyond the limit, ended at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI

from helpers.running import Running, chat, running
from helpers.until import until
from tollway.api.keys import BODY_BYTES_MAX, SCOPE
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, Wallet, account_id
from tollway.domain.money import parse_usd

NOW = int(time.time())
OTHER_MODEL = """
[[providers]]
id = "other"
base_url = "http://127.0.0.1:9/v1"

[[providers.models]]
id = "other/model"
context_length = 100000
max_output_tokens = 1000
price = { input = "1", output = "10" }
"""


@pytest.fixture
async def router() -> AsyncIterator[Running]:
    async with running({"sim": "tokens=5"}) as router:
        yield router


async def fresh(router: Running, wallet: Wallet, *scopes: str) -> dict[str, str]:
    """Headers of a sign-in for one request."""
    nonce = (await router.http.get("/v1/session/nonce")).json()["nonce"]
    signed = sign_in_header(wallet, router.url, 60, int(time.time() * 1000), nonce=nonce, scopes=scopes)
    return {"sign-in-with-x": signed, "content-type": "application/json"}


async def create(router: Running, wallet: Wallet, **asked: Any) -> httpx2.Response:
    return await router.http.post("/v1/keys", json=asked, headers=await fresh(router, wallet, SCOPE))


async def key_of(router: Running, wallet: Wallet, **asked: Any) -> dict[str, Any]:
    answer = await create(router, wallet, **asked)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {key['key']}"}


async def ask(router: Running, key: dict[str, Any], path: str = "", **body: Any) -> httpx2.Response:
    headers = bearer(key)
    if path:
        return await router.http.get(f"/v1{path}", headers=headers)
    return await router.http.post("/v1/chat/completions", json=chat(**body), headers=headers)


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_key_is_shown_once_and_never_stored_by_anybody(router: Running) -> None:
    wallet = await router.wallet("1.00")
    answer = await create(router, wallet, label="agent", limit_usd="0.50", period="month", expires_at=NOW + 3600)
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert (made["label"], made["limit_usd"], made["period"], made["ended_at"]) == ("agent", "0.50", "month", None)
    listed = (await router.get("/keys", wallet))["data"]
    assert [key["id"] for key in listed] == [made["id"]]
    assert made["key"] not in str(listed)


async def test_a_wallet_that_never_had_credit_gets_no_key_and_leaves_nothing_in_the_books(router: Running) -> None:
    wallet = await router.wallet()
    assert refusal(await create(router, wallet)) == (402, "insufficient_balance")
    assert (await router.get("/keys", wallet))["data"] == []
    await router.credit(wallet, "0.01")
    assert (await create(router, wallet)).status_code == 201


@pytest.mark.parametrize("billing", ["metered", "welcome"])
async def test_a_wallet_that_may_call_without_paying_first_gets_a_key(billing: str) -> None:
    wallet = SolanaWallet.new()
    config = {
        "metered": f'[auth]\naccounts = ["{account_id(wallet)}"]\n[billing]\nmode = "metered"\n',
        "welcome": '[billing]\nwelcome_credit_usd = "0.10"\nwelcome_credit_total_usd = "0.10"\n',
    }
    async with running(config=config[billing]) as router:
        assert (await ask(router, await key_of(router, wallet))).status_code == 200


async def test_a_call_by_a_key_is_the_wallets_and_counted_for_the_key(router: Running) -> None:
    wallet = await router.wallet("1.00")
    key = await key_of(router, wallet, limit_usd="0.50")
    answer = await ask(router, key)
    assert answer.status_code == 200
    cost = answer.json()["usage"]["cost"]
    (listed,) = (await router.get("/keys", wallet))["data"]
    assert (listed["spent_usd"], listed["held_usd"]) == (cost, "0.00")
    usage = await router.get("/session/usage", wallet, by="key")
    assert [(line["key"], line["cost_usd"]) for line in usage["data"]] == [(key["id"], cost)]
    generation = await router.get(f"/generations/{answer.headers['x-request-id']}", wallet)
    assert generation["key"] == key["id"]


async def test_openais_client_takes_a_key_as_its_own(router: Running) -> None:
    key = await key_of(router, await router.wallet("1.00"))
    async with AsyncOpenAI(base_url=f"{router.url}/v1", api_key=key["key"]) as client:
        stream = await client.chat.completions.create(
            model="sim/model", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        assert [chunk async for chunk in stream]


async def test_a_new_key_needs_a_signature_that_was_made_for_it(router: Running) -> None:
    wallet = await router.wallet("1.00")
    reused = await fresh(router, wallet, SCOPE)
    assert (await router.http.post("/v1/keys", json={}, headers=reused)).status_code == 201
    refused = [
        await router.http.post("/v1/keys", json={}, headers=router.headers(wallet)),
        await router.http.post("/v1/keys", json={}, headers=await fresh(router, wallet)),
        await router.http.post("/v1/keys", json={}, headers=reused),
        await router.http.post("/v1/keys", json={}),
        await router.http.post(
            "/v1/keys", json={}, headers={"authorization": f"Bearer {(await key_of(router, wallet))['key']}"}
        ),
    ]
    assert [refusal(answer) for answer in refused] == [
        (401, "nonce_required"),
        (401, "scope_required"),
        (401, "nonce_used"),
        (401, "missing_sign_in"),
        (403, "wallet_required"),
    ]


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"limits": "1"}, "limits"),
        ({"limit_usd": 5}, "limit_usd"),
        ({"limit_usd": "-1"}, "limit_usd"),
        ({"limit_usd": "1e30"}, "limit_usd"),
        ({"limit_usd": "NaN"}, "limit_usd"),
        ({"limit_usd": "0.0000000001"}, "limit_usd"),
        ({"limit_usd": "1", "period": "week"}, "period"),
        ({"period": "day"}, "period"),
        ({"expires_at": NOW - 10}, "expires_at"),
        ({"expires_at": 10**15}, "expires_at"),
        ({"expires_at": 1.5}, "expires_at"),
        ({"label": "x" * 101}, "label"),
        ({"label": "a\nb"}, "label"),
        ({"models": ["sim/model"] * 51}, "models"),
        ({"models": ["no/such"]}, "models[0]"),
        ({"models": ["sim/model", "sim:sim/model"]}, "models[1]"),
        ({"models": "sim/model"}, "models"),
        ({"label": "x" * BODY_BYTES_MAX}, None),
    ],
)
async def test_a_key_that_cant_be_is_refused_by_the_member_that_is_wrong(
    router: Running, asked: dict[str, Any], param: str | None
) -> None:
    wallet = await router.wallet()
    answer = await create(router, wallet, **asked)
    assert answer.status_code in (400, 404, 413), answer.text
    assert answer.json()["error"]["param"] == param, answer.text
    assert (await router.get("/keys", wallet))["data"] == []


async def test_the_limit_refuses_without_asking_for_money(router: Running) -> None:
    wallet = await router.wallet("1.00")
    key = await key_of(router, wallet, limit_usd="0.001")
    answer = await ask(router, key, max_tokens=900)
    assert refusal(answer) == (403, "key_limit_exceeded")
    assert answer.headers["x-should-retry"] == "false"
    error = answer.json()["error"]
    assert error["key_left_usd"] == "0.001"
    assert error["max_tokens_affordable"] < 900
    assert (await ask(router, key, max_tokens=error["max_tokens_affordable"])).status_code == 200


async def test_the_wallets_balance_is_still_a_402(router: Running) -> None:
    key = await key_of(router, await router.wallet("0.0001"), limit_usd="5")
    assert refusal(await ask(router, key)) == (402, "insufficient_balance")


async def test_only_what_the_key_allows_is_called_fallbacks_too() -> None:
    async with running({"sim": ""}, config=OTHER_MODEL) as router:
        wallet = await router.wallet("1.00")
        key = await key_of(router, wallet, models=["model"])
        assert key["models"] == ["sim/model"], "an alias means what it meant when the key was made"
        assert (await ask(router, key)).status_code == 200
        for body in ({"model": "other/model"}, {"models": ["other/model"]}):
            answer = await ask(router, key, **body)
            assert refusal(answer) == (403, "model_not_allowed")
            assert answer.json()["error"]["allowed_models"] == ["sim/model"]
        assert (await router.post(wallet, chat(models=["other/model"]))).status_code == 200


async def test_an_ended_key_is_refused_at_once_everywhere(router: Running) -> None:
    wallet = await router.wallet("1.00")
    key = await key_of(router, wallet)
    assert (await ask(router, key)).status_code == 200
    headers = router.headers(wallet)
    for _ in range(2):
        assert (await router.http.delete(f"/v1/keys/{key['id']}", headers=headers)).status_code == 204
    refused = [await ask(router, key), await ask(router, key, "/session/balance")]
    assert [refusal(answer) for answer in refused] == [(401, "key_ended")] * 2
    (listed,) = (await router.get("/keys", wallet))["data"]
    assert listed["ended_at"] is not None


async def test_a_call_under_way_when_its_key_ends_is_finished_and_charged() -> None:
    async with running({"sim": "tokens=3&barrier=b"}) as router:
        wallet = await router.wallet("1.00")
        key = await key_of(router, wallet, limit_usd="0.50")
        under_way = asyncio.ensure_future(ask(router, key))
        await router.simulator.waiting("b", 1)
        await router.http.delete(f"/v1/keys/{key['id']}", headers=router.headers(wallet))
        router.simulator.release("b")
        assert (await under_way).status_code == 200
        (listed,) = (await router.get("/keys", wallet))["data"]
        assert listed["spent_usd"] > "0.00"
        assert refusal(await ask(router, key)) == (401, "key_ended")


async def test_nobody_ends_anothers_key_or_learns_of_it(router: Running) -> None:
    key = await key_of(router, await router.wallet("1.00"))
    other = await router.wallet("1.00")
    for name in (key["id"], "no-id", "x" * 5000):
        answer = await router.http.delete(f"/v1/keys/{name}", headers=router.headers(other))
        assert refusal(answer) == (404, "not_found")
    assert (await router.get("/keys", other))["data"] == []
    assert (await ask(router, key)).status_code == 200


@pytest.mark.parametrize("path", ["/keys", "/session/transactions", "/session/usage"])
async def test_what_is_the_wallets_is_not_the_keys(router: Running, path: str) -> None:
    key = await key_of(router, await router.wallet("1.00"))
    assert refusal(await ask(router, key, path)) == (403, "wallet_required")


async def test_a_key_revokes_no_sign_in(router: Running) -> None:
    key = await key_of(router, await router.wallet("1.00"))
    answer = await router.http.delete("/v1/session", headers=bearer(key))
    assert refusal(answer) == (403, "wallet_required")
    answer = await router.http.delete(f"/v1/keys/{key['id']}", headers=bearer(key))
    assert refusal(answer) == (403, "wallet_required")


async def test_a_key_sees_its_own_calls_and_what_it_may_spend(router: Running) -> None:
    wallet = await router.wallet("1.00")
    one, two = await key_of(router, wallet, limit_usd="0.50"), await key_of(router, wallet)
    call = (await ask(router, one)).headers["x-request-id"]
    assert (await ask(router, one, f"/generations/{call}")).json()["id"] == call
    assert refusal(await ask(router, two, f"/generations/{call}")) == (404, "not_found")
    spent = (await router.get("/keys", wallet))["data"][1]["spent_usd"]
    balance = (await ask(router, one, "/session/balance")).json()
    assert parse_usd(balance["balance_usd"]) == parse_usd("0.50") - parse_usd(spent)
    has = (await router.get("/session/balance", wallet))["balance_usd"]
    assert (await ask(router, two, "/session/balance")).json()["balance_usd"] == has


async def test_keys_are_listed_by_pages(router: Running) -> None:
    wallet = await router.wallet("1.00")
    made = [(await key_of(router, wallet, label=str(n)))["id"] for n in range(3)]
    first = await router.get("/keys", wallet, limit=2)
    rest = await router.get("/keys", wallet, limit=2, cursor=first["next_cursor"])
    assert [key["id"] for key in first["data"] + rest["data"]] == made[::-1]
    assert rest["next_cursor"] is None
    assert (await router.get("/keys", wallet, cursor="x"))["error"]["param"] == "cursor"


async def test_64_calls_at_once_never_spend_more_than_the_limit() -> None:
    async with running({"sim": "tokens=50"}) as router:
        wallet = await router.wallet("100.00")
        key = await key_of(router, wallet, limit_usd="0.02")
        answers = await asyncio.gather(*(ask(router, key, max_tokens=100) for _ in range(64)))
        codes = {answer.status_code for answer in answers}
        assert codes == {200, 403}
        charged = sum(parse_usd(answer.json()["usage"]["cost"]) for answer in answers if answer.status_code == 200)
        (listed,) = (await router.get("/keys", wallet))["data"]
        assert parse_usd(listed["spent_usd"]) == charged <= 20_000_000
        assert listed["held_usd"] == "0.00"
        balance = await router.ledger.balance(account_id(wallet))
        assert balance.debits_posted == charged


async def test_an_ended_key_is_given_no_answer_again(router: Running) -> None:
    wallet = await router.wallet("1.00")
    key = await key_of(router, wallet)
    headers = {**bearer(key), "idempotency-key": "once"}
    first = await router.http.post("/v1/chat/completions", json=chat(), headers=headers)
    again = await router.http.post("/v1/chat/completions", json=chat(), headers=headers)
    assert first.content == again.content
    await router.http.delete(f"/v1/keys/{key['id']}", headers=router.headers(wallet))
    assert refusal(await router.http.post("/v1/chat/completions", json=chat(), headers=headers)) == (401, "key_ended")


async def test_keys_and_their_wallet_are_not_given_each_others_answers(router: Running) -> None:
    wallet = await router.wallet("1.00")
    callers = [bearer(await key_of(router, wallet)), bearer(await key_of(router, wallet)), router.headers(wallet)]
    for headers in callers:
        named = {**headers, "idempotency-key": "once"}
        assert (await router.http.post("/v1/chat/completions", json=chat(), headers=named)).status_code == 200
    assert len(router.simulator.log) == 3


async def test_a_key_that_nobody_gave_out_is_no_key(router: Running) -> None:
    for secret in ("tollway_", "tollway_" + "A" * 43, "tollway_" + "A" * 5000):
        for path in ("", "/session/balance"):
            assert refusal(await ask(router, {"key": secret}, path)) == (401, "invalid_key")


async def test_a_key_whose_time_is_over_is_refused() -> None:
    async with running() as router:
        wallet = await router.wallet("1.00")
        key = await key_of(router, wallet, expires_at=int(time.time()) + 1)
        assert (await ask(router, key)).status_code == 200
        await until(lambda: time.time() >= key["expires_at"])
        for path in ("", "/session/balance"):
            assert refusal(await ask(router, key, path)) == (401, "key_expired")
