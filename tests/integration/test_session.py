"""What a wallet that signed in can do and see of itself, through HTTP: every way to sign in, and /session."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from helpers.live_sign_ins import at, authority, fields_form, header, message
from helpers.refusals import refused, single_use
from helpers.running import Running, chat, running
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet, account_id
from tollway.domain.money import parse_usd

pytestmark = pytest.mark.asyncio(loop_scope="module")

each_wallet = pytest.mark.parametrize("evm", [False, True], ids=["solana", "evm"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router() -> AsyncIterator[Running]:
    async with running({"sim": "tokens=5&prompt_tokens=20"}) as router:
        yield router


async def balance(router: Running, **headers: str) -> httpx2.Response:
    return await router.http.get("/v1/session/balance", headers=headers)


# --- signing in

Sign = Callable[[Running, Wallet], str]


def opening(router: Running, wallet: Wallet, *more: str) -> tuple[str, ...]:
    first = f"{authority(router)} wants you to sign in with your {wallet.account_name} account:"
    return (first, wallet.address, "", *more)


def live(**fields: Callable[[], str] | str) -> Sign:
    """A header with these fields in its message; what depends on the time is worked out when it is signed."""

    def sign(router: Running, wallet: Wallet) -> str:
        given = {name: value if isinstance(value, str) else value() for name, value in fields.items()}
        return header(message(router, wallet, **given), wallet)

    return sign


def bare_chain(router: Running, wallet: Wallet) -> str:
    return header(message(router, wallet, chain=wallet.chain.partition(":")[2]), wallet)


def other_opening(*more: str) -> Sign:
    def sign(router: Running, wallet: Wallet) -> str:
        text = message(router, wallet)
        written = "\n".join(opening(router, wallet))
        assert text.startswith(written)
        return header("\n".join(opening(router, wallet, *more)) + text.removeprefix(written), wallet)

    return sign


def x402(router: Running, wallet: Wallet) -> str:
    return fields_form(router, wallet, nonce="a1b2c3d4e5f6a7b8", issued=at(0))


SIGN_INS: dict[str, Sign] = {
    "as deployed clients do": live(),
    "with the bare reference of the chain": bare_chain,
    "in x402's form": x402,
    "with two blank lines for no statement": other_opening(""),
    "with a statement": other_opening("I accept the terms: https://example.com/terms", ""),
    "with every line": live(issued=lambda: at(-1), not_before=lambda: at(-1), nonce="abcdefgh", request_id="7"),
    "with resources": live(resources="https://example.com/ urn:tollway:scope:keys"),
    "by a clock half a minute ahead": live(issued=lambda: at(30), expires=lambda: at(630)),
    "just expired, by a clock that is behind": live(expires=lambda: at(-30)),
    "for a whole hour": live(expires=lambda: at(3_599)),
}


@each_wallet
@pytest.mark.parametrize("way", SIGN_INS)
async def test_a_wallet_signs_in(router: Running, way: str, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    answer = await router.post(None, chat(), **{"sign-in-with-x": SIGN_INS[way](router, wallet)})
    assert answer.status_code == 200, answer.text
    assert (await router.balance(wallet)).debits_posted == parse_usd(answer.json()["usage"]["cost"]) > 0


async def test_eip_4361s_own_form_is_accepted(router: Running) -> None:
    """A bare chain number, two blank lines, a nonce and an issue time: what browser wallets sign."""
    wallet = await router.wallet("1.00", evm=True)
    lines = [
        *opening(router, wallet, ""),
        f"URI: {router.url}/",
        "Version: 1",
        "Chain ID: 8453",
        "Nonce: 32891756",
        f"Issued At: {at(0)}",
        f"Expiration Time: {at(600)}",
    ]
    answer = await balance(router, **{"sign-in-with-x": header("\n".join(lines), wallet)})
    assert answer.json()["caip_account_id"] == f"eip155:8453:{wallet.address}"


ENCODINGS: dict[str, Callable[[str], str]] = {
    "without padding": lambda value: value.rstrip("="),
    "in the URL-safe alphabet": lambda value: value.replace("+", "-").replace("/", "_"),
    "URL-safe without padding": lambda value: value.replace("+", "-").replace("/", "_").rstrip("="),
}


@each_wallet
@pytest.mark.parametrize("encoding", ENCODINGS)
async def test_base64_comes_in_any_of_its_spellings(router: Running, encoding: str, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    # "??" and ">>" bring the characters in which the alphabets differ, at each place in a group of three.
    text = message(router, wallet, uri=f"{router.url}/?a=??>>&b=???>>>")
    values = [header(text + extra, wallet) for extra in ("", "\nResources:", "\nResources:\n- a:b")]
    assert set("+/") & set("".join(values))
    for value in map(ENCODINGS[encoding], values):
        assert (await balance(router, **{"sign-in-with-x": value})).status_code == 200
        assert (await balance(router, authorization=f"Bearer {value}")).status_code == 200


@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("recovery_from", [0, 27])
async def test_evm_signatures_come_with_and_without_0x_and_either_recovery_id(
    router: Running, prefixed: bool, recovery_from: int
) -> None:
    wallet = await router.wallet(evm=True)
    text = message(router, wallet)
    signature = wallet.sign(text.encode()).removeprefix("0x")
    signature = f"{signature[:128]}{int(signature[128:], 16) - 27 + recovery_from:02x}"
    value = header(text, wallet, f"0x{signature}" if prefixed else signature)
    assert (await balance(router, **{"sign-in-with-x": value})).status_code == 200


@pytest.mark.parametrize("name", ["Sign-In-With-X", "SIGN-IN-WITH-X", "sign-in-with-x"])
async def test_the_headers_name_is_read_in_any_case(router: Running, name: str) -> None:
    assert (await balance(router, **{name: router.sign_in(await router.wallet())})).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_a_sign_in_may_come_as_a_bearer_token(router: Running, scheme: str) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.post(None, chat(), authorization=f"{scheme} {router.sign_in(wallet)}")
    assert answer.status_code == 200


async def test_a_dummy_bearer_token_beside_a_sign_in_is_ignored(router: Running) -> None:
    wallet = await router.wallet("1.00")
    assert (await router.post(wallet, chat(), authorization="Bearer sk-dummy")).status_code == 200
    other = router.sign_in(await router.wallet())
    answer = await balance(router, **{"sign-in-with-x": router.sign_in(wallet), "authorization": f"Bearer {other}"})
    assert answer.json()["caip_account_id"].endswith(wallet.address)


@each_wallet
async def test_one_signed_message_serves_every_path_until_it_expires(router: Running, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    value = {"sign-in-with-x": router.sign_in(wallet)}
    for _ in range(2):
        assert (await router.post(None, chat(), **value)).status_code == 200
        for path in ("session/balance", "session/transactions"):
            assert (await router.http.get(f"/api/v1/{path}", headers=value)).status_code == 200


async def test_an_evm_key_is_one_account_on_every_chain_and_is_shown_as_it_signed_in(router: Running) -> None:
    wallet = await router.wallet("1.00", evm=True)
    for chain in ("eip155:1", "eip155:8453", "eip155:137"):
        answer = await balance(router, **{"sign-in-with-x": router.sign_in(wallet, chain=chain)})
        assert answer.json()["caip_account_id"] == f"{chain}:{wallet.address}"
        assert answer.json()["balance_usd"] == "1.00"


async def test_where_nonces_are_required_each_call_brings_a_new_one() -> None:
    async with running(config='[auth]\nnonces = "required"\n') as router:
        wallet = await router.wallet("1.00")
        for _ in range(2):
            assert (await router.post(None, chat(), **await single_use(router, wallet))).status_code == 200
            assert (await balance(router, **await single_use(router, wallet))).status_code == 200


# --- GET /session/nonce


async def test_a_nonce_is_given_to_anybody_and_never_twice(router: Running) -> None:
    now_s = router.router.services.clock.now_ms() // 1000
    answers = [await router.http.get("/v1/session/nonce") for _ in range(3)]
    assert [answer.headers["cache-control"] for answer in answers] == ["no-store"] * 3
    given = [answer.json() for answer in answers]
    assert all(set(answer) == {"nonce", "expires_at"} for answer in given)
    assert len({answer["nonce"] for answer in given}) == 3
    assert all(answer["nonce"].isalnum() and answer["nonce"].isascii() for answer in given)
    assert all(now_s + 300 <= answer["expires_at"] <= now_s + 300 + 60 for answer in given)


# --- DELETE /session


@each_wallet
async def test_a_revoked_message_is_refused_everywhere_and_others_are_not(router: Running, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    leaked = {"sign-in-with-x": header(message(router, wallet), wallet)}
    kept = {"sign-in-with-x": header(message(router, wallet, request_id="another"), wallet)}
    assert (await router.post(None, chat(), **leaked)).status_code == 200
    answer = await router.http.delete("/v1/session", headers=leaked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["x-request-id"]
    for again in (
        await router.post(None, chat(), **leaked),
        await balance(router, **leaked),
        await balance(router, authorization=f"Bearer {leaked['sign-in-with-x']}"),
        await router.http.delete("/v1/session", headers=leaked),
    ):
        refused(again, 401, "sign_in_revoked", says="sign a new message")
    assert (await router.post(None, chat(), **kept)).status_code == 200


async def test_revoking_needs_the_signature_of_what_is_revoked(router: Running) -> None:
    wallet = await router.wallet()
    text = message(router, wallet)
    forged = {"sign-in-with-x": header(text, wallet, "garbage")}
    refused(await router.http.delete("/v1/session", headers=forged), 401, "invalid_signature")
    assert (await balance(router, **{"sign-in-with-x": header(text, wallet)})).status_code == 200


# --- GET /session/balance


async def test_a_balance_has_exactly_these_fields(router: Running) -> None:
    wallet = await router.wallet("2.50")
    assert await router.get("/session/balance", wallet) == {
        "caip_account_id": f"{wallet.chain}:{wallet.address}",
        "balance_micro_usdc": 2_500_000,
        "balance_usd": "2.50",
        "held_usd": "0.00",
        "total_usd": "2.50",
    }


@pytest.mark.parametrize(("usd", "micro"), [("0.000001999", 1), ("0.000000999", 0), ("1.000000001", 1_000_000)])
async def test_micro_usdc_are_rounded_down(router: Running, usd: str, micro: int) -> None:
    shown = await router.get("/session/balance", await router.wallet(usd))
    assert (shown["balance_micro_usdc"], shown["balance_usd"]) == (micro, usd)


async def test_a_wallet_nobody_has_seen_has_nothing(router: Running) -> None:
    shown = await router.get("/session/balance", await router.wallet())
    assert (shown["balance_micro_usdc"], shown["balance_usd"], shown["total_usd"]) == (0, "0.00", "0.00")


async def test_what_is_held_is_not_available_and_still_owned() -> None:
    async with running({"sim": "tokens=5&prompt_tokens=20&barrier=b"}) as router:
        wallet = await router.wallet("1.00")
        call = asyncio.ensure_future(router.post(wallet, chat()))
        await router.simulator.waiting("b", 1)
        shown = await router.get("/session/balance", wallet)
        router.simulator.release("b")
        answer = await call
        held = parse_usd(shown["held_usd"])
        assert held > 0
        assert shown["total_usd"] == "1.00"
        assert parse_usd(shown["balance_usd"]) == parse_usd("1.00") - held
        assert shown["balance_micro_usdc"] == (parse_usd("1.00") - held) // 1_000
        after = await router.get("/session/balance", wallet)
        assert after["held_usd"] == "0.00"
        assert after["total_usd"] == after["balance_usd"] == answer.json()["tollway"]["balance_usd"]


# --- GET /session/transactions


async def test_a_statement_shows_credit_hold_and_post_newest_first(router: Running) -> None:
    wallet = await router.wallet()
    await router.credit(wallet, "1.00", ref="invoice 7")
    answer = await router.post(wallet, chat())
    page = await router.get("/session/transactions", wallet)
    assert (page["object"], page["next_cursor"]) == ("list", None)
    post, hold, credit = page["data"]
    assert set(post) == {"id", "at", "kind", "amount_usd", "returned_usd", "model"}
    assert set(hold) == {"id", "at", "kind", "amount_usd", "model"}
    assert set(credit) == {"id", "at", "kind", "amount_usd", "ref"}
    assert [entry["kind"] for entry in page["data"]] == ["post", "hold", "credit"]
    assert post["id"] == hold["id"] == answer.headers["x-request-id"]
    assert post["model"] == hold["model"] == "sim/model"
    assert post["amount_usd"] == answer.json()["usage"]["cost"] == "0.00007"
    assert parse_usd(post["returned_usd"]) == parse_usd(hold["amount_usd"]) - parse_usd(post["amount_usd"])
    assert (credit["ref"], credit["amount_usd"]) == ("invoice 7", "1.00")
    assert post["at"] >= hold["at"] >= credit["at"] > 0


async def test_pages_of_a_statement_join_without_a_gap_or_a_repetition(router: Running) -> None:
    wallet = await router.wallet()
    for number in range(7):
        await router.credit(wallet, "0.01", ref=f"r{number}")
    for limit in (1, 3, 7, 8):
        seen: list[str] = []
        sizes: list[int] = []
        cursor: dict[str, Any] = {}
        while True:
            page = await router.get("/session/transactions", wallet, limit=limit, **cursor)
            seen += [entry["ref"] for entry in page["data"]]
            sizes.append(len(page["data"]))
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == [f"r{number}" for number in reversed(range(7))]
        assert all(size == limit for size in sizes[:-1])


async def test_what_is_booked_between_two_pages_does_not_shift_them(router: Running) -> None:
    wallet = await router.wallet()
    for number in range(4):
        await router.credit(wallet, "0.01", ref=f"r{number}")
    first = await router.get("/session/transactions", wallet, limit=2)
    await router.credit(wallet, "0.01", ref="later")
    second = await router.get("/session/transactions", wallet, limit=2, cursor=first["next_cursor"])
    assert [entry["ref"] for entry in first["data"] + second["data"]] == ["r3", "r2", "r1", "r0"]


@pytest.mark.parametrize("limit", ["0", "501", "-1", "x", "1.5", "", "9" * 40, "1".zfill(9) + "0" * 6_000, "\u0663"])
async def test_a_page_size_out_of_range_is_refused(router: Running, limit: str) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.http.get("/v1/session/transactions", params={"limit": limit}, headers=router.headers(wallet))
    refused(answer, 400, "invalid_request", param="limit", says="limit is a number from 1 to 500.")


@pytest.mark.parametrize("cursor", ["x", "!!!", "0", "-1", "czE6", "czE6OTk5OTk5OTk5", "A" * 1_000, "\u00e9"])
async def test_a_cursor_that_was_never_given_is_refused(router: Running, cursor: str) -> None:
    wallet = await router.wallet("1.00")
    answer = await router.http.get(
        "/v1/session/transactions", params={"cursor": cursor}, headers=router.headers(wallet)
    )
    refused(answer, 400, "invalid_request", param="cursor", says="leave it out for the newest page")


async def test_another_wallets_cursor_is_refused(router: Running) -> None:
    other, wallet = await router.wallet("1.00"), await router.wallet("1.00")
    await router.credit(other, "1.00", ref="more")
    cursor = (await router.get("/session/transactions", other, limit=1))["next_cursor"]
    answer = await router.http.get(
        "/v1/session/transactions", params={"cursor": cursor}, headers=router.headers(wallet)
    )
    refused(answer, 400, "invalid_request", param="cursor")


async def test_a_wallet_without_transactions_has_an_empty_statement(router: Running) -> None:
    page = await router.get("/session/transactions", await router.wallet())
    assert page == {"object": "list", "data": [], "next_cursor": None}


# --- billing


WELCOME = '[billing]\nwelcome_credit_usd = "0.50"\nwelcome_credit_total_usd = "1.20"\n'


async def test_a_new_wallet_is_welcomed_once_until_the_gifts_are_used_up() -> None:
    async with running(config=WELCOME) as router:
        first, second, third = [await router.wallet() for _ in range(3)]
        for _ in range(2):
            assert (await router.get("/session/balance", first))["balance_usd"] == "0.50"
        entries = (await router.get("/session/transactions", first))["data"]
        assert [(entry["kind"], entry["ref"]) for entry in entries] == [("credit", "welcome")]
        assert (await router.post(second, chat())).status_code == 200  # without having asked for its balance
        assert (await router.get("/session/balance", third))["balance_usd"] == "0.00"
        refused(await router.post(third, chat()), 402, "insufficient_balance")


async def test_metered_calls_are_counted_and_never_refused() -> None:
    wallet, stranger = SolanaWallet.new(), EvmWallet.new()
    config = f'[billing]\nmode = "metered"\n[auth]\naccounts = {json.dumps([account_id(wallet)])}\n'
    async with running({"sim": "tokens=5&prompt_tokens=20"}, config=config) as router:
        for _ in range(2):
            assert (await router.post(wallet, chat())).status_code == 200
        shown = await router.get("/session/balance", wallet)
        assert (shown["balance_usd"], shown["total_usd"], shown["held_usd"]) == ("-0.00014", "-0.00014", "0.00")
        assert shown["balance_micro_usdc"] == -140
        refused(await router.post(stranger, chat()), 403, "account_not_allowed")


async def test_an_evm_account_is_allowed_under_any_of_its_names() -> None:
    wallet = EvmWallet.new()
    for name in (f"eip155:1:{wallet.address}", f"eip155:8453:{wallet.address}", f"eip155:{wallet.address.lower()}"):
        async with running(config=f'[auth]\naccounts = ["{name}"]\n') as router:
            await router.credit(wallet, "1.00")
            assert (await router.post(wallet, chat())).status_code == 200
