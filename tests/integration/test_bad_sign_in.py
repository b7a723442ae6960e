"""Sign-ins that are refused, through HTTP: each with its own code and a message that says what to do, at no cost."""

import base64
import json
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from helpers.live_sign_ins import at, authority, fields_form, flipped, header, message
from helpers.refusals import refused, single_use, unharmed
from helpers.running import Running, chat, running
from helpers.sign_ins import encoded, high_s_twin
from tollway.auth.nonce import LIFETIME_MS, Nonces
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet, account_id
from tollway.wire import base58

pytestmark = pytest.mark.asyncio(loop_scope="module")

each_wallet = pytest.mark.parametrize("evm", [False, True], ids=["solana", "evm"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router() -> AsyncIterator[Running]:
    async with running() as router:
        yield router


async def check_refused(router: Running, wallet: Wallet, value: str | None, code: str, says: str) -> None:
    headers = {} if value is None else {"sign-in-with-x": value}
    async with unharmed(router, wallet):
        error = refused(await router.post(None, chat(), **headers), 401, code, says=says)
        if value is not None and len(value) > 100:
            assert value[:100] not in error["message"]
            assert wallet.sign(b"")[:20] not in error["message"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


MALFORMED: dict[str, tuple[str | None, str, str]] = {
    "no header": (None, "missing_sign_in", "Sign in with a wallet. Send Sign-In-With-X: base64("),
    "an empty header": ("", "missing_sign_in", "Sign in with a wallet."),
    "not base64": ("!!!", "invalid_sign_in", "is not base64. Send Sign-In-With-X"),
    "base64 cut short": ("eyJhI", "invalid_sign_in", "is not base64."),
    "no JSON": (b64(b"hello"), "invalid_sign_in", "is not base64 of JSON."),
    "no UTF-8": (b64(b'{"message": "\xff"}'), "invalid_sign_in", "is not base64 of JSON."),
    "not a number": (b64(b"NaN"), "invalid_sign_in", "is not base64 of JSON."),
    "nested without end": (b64(b"[" * 5_000), "invalid_sign_in", "is not base64 of JSON."),
    "an array": (b64(b"[]"), "invalid_sign_in", "Expected `object`, got `array`"),
    "a string": (b64(b'"0x"'), "invalid_sign_in", "Expected `object`, got `str`"),
    "a message that is a number": (
        b64(b'{"message": 5, "signature": "0x"}'),
        "invalid_sign_in",
        "Expected `str | null`, got `int` - at `$.message`",
    ),
    "a signature that is an array": (
        b64(b'{"message": "m", "signature": []}'),
        "invalid_sign_in",
        "got `array` - at `$.signature`",
    ),
    "no signature": (b64(b'{"message": "m"}'), "invalid_sign_in", "has no 'signature'."),
    "neither message nor fields": (b64(b'{"signature": "0x"}'), "invalid_sign_in", "it lacks domain, address, uri"),
    "nothing signed": (b64(b'{"message": "", "signature": "0x"}'), "invalid_sign_in", "line 1 must be"),
    "over 8 KiB": (b64(b'{"message": "' + b"x" * 6_800 + b'"}'), "invalid_sign_in", "longer than 8192 bytes."),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_what_is_no_sign_in_is_refused(router: Running, case: str) -> None:
    await check_refused(router, await router.wallet("1.00"), *MALFORMED[case])


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Bearer", "Digest x"])
async def test_an_authorization_that_is_no_bearer_token_is_no_sign_in(router: Running, value: str) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        refused(await router.post(None, chat(), authorization=value), 401, "missing_sign_in", says="as a bearer token")


async def test_a_dummy_bearer_token_alone_is_refused(router: Running) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        answer = await router.post(None, chat(), authorization="Bearer sk-dummy")
        refused(answer, 401, "invalid_sign_in", says="The bearer token is not base64")


# --- what the message says

Fields = dict[str, str | None]
MESSAGES: dict[str, tuple[Callable[[Running], Fields], str, str]] = {
    "expired": (lambda _: {"expires": at(-120)}, "expired_sign_in", "has expired: sign a new message."),
    "not before in ten minutes": (lambda _: {"not_before": at(600)}, "sign_in_not_yet_valid", "check the clock"),
    "issued in ten minutes": (lambda _: {"issued": at(600), "expires": at(900)}, "sign_in_not_yet_valid", "the clock"),
    "living two hours": (lambda _: {"expires": at(7_200)}, "invalid_sign_in", "at most 3600 seconds ahead"),
    "without an end": (lambda _: {"expires": None}, "invalid_sign_in", "no Expiration Time: sign one that has"),
    "an end that is no time": (lambda _: {"expires": "tomorrow"}, "invalid_sign_in", "Expiration Time must be an RFC"),
    "another domain": (
        lambda _: {"domain": "evil.example"},
        "wrong_domain",
        "is for another domain; accepted here: 127",
    ),
    "the domain without its port": (lambda _: {"domain": "127.0.0.1"}, "wrong_domain", "another domain"),
    "a URI elsewhere": (
        lambda _: {"uri": "https://evil.example/v1"},
        "wrong_domain",
        "URI is not http(s) at an accepted",
    ),
    "a URI that only begins alike": (lambda r: {"uri": f"{r.url}.evil.example/"}, "wrong_domain", "URI is not"),
    "a URI behind a user name": (
        lambda r: {"uri": f"http://{authority(r)}@evil.example/"},
        "wrong_domain",
        "URI is not",
    ),
    "a test network": (
        lambda _: {"chain": "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"},
        "unsupported_chain",
        "accepted here: solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp, eip155:*",
    ),
    "a chain of another kind": (lambda _: {"chain": "eip155:8453"}, "invalid_sign_in", "Chain ID"),
    "another version": (lambda _: {"version": "2"}, "invalid_sign_in", "Version must be 1"),
    "no version": (lambda _: {"version": None}, "invalid_sign_in", "line 5 must be 'Version: ...'"),
    "a nonce too short": (lambda _: {"nonce": "abc"}, "invalid_sign_in", "Nonce must be 8 to 128 letters and digits"),
    "a repeated line": (lambda _: {"version": "1\nVersion: 1"}, "invalid_sign_in", "line 6 must be 'Chain ID: ...'"),
    "a control character": (lambda _: {"request_id": "a\rb"}, "invalid_sign_in", "it has a control character"),
    "an unknown line": (lambda _: {"request_id": "a\nAmount: 5"}, "invalid_sign_in", "is unknown, repeated or out of"),
}


@pytest.mark.parametrize("case", MESSAGES)
async def test_a_message_that_breaks_a_rule_is_refused_though_it_is_signed(router: Running, case: str) -> None:
    fields, code, says = MESSAGES[case]
    wallet = await router.wallet("1.00")
    await check_refused(router, wallet, header(message(router, wallet, **fields(router)), wallet), code, says)


async def test_an_account_of_another_kind_is_refused(router: Running) -> None:
    wallet = await router.wallet("1.00")
    text = message(router, wallet).replace("your Solana account", "your Bitcoin account")
    await check_refused(router, wallet, header(text, wallet), "unsupported_chain", "sign in with Solana or Ethereum")


async def test_the_accepted_domains_and_chains_are_told_to_programs_too(router: Running) -> None:
    wallet = await router.wallet()
    value = header(message(router, wallet, domain="evil.example"), wallet)
    error = refused(await router.post(None, chat(), **{"sign-in-with-x": value}), 401, "wrong_domain")
    assert error["accepted_domains"] == [authority(router)]


async def test_the_host_header_is_never_believed(router: Running) -> None:
    wallet = await router.wallet("1.00")
    value = header(message(router, wallet, domain="evil.example", uri="http://evil.example/"), wallet)
    async with unharmed(router, wallet):
        answer = await router.post(None, chat(), **{"sign-in-with-x": value, "host": "evil.example"})
        refused(answer, 401, "wrong_domain")


# --- whose signature it is


@each_wallet
@pytest.mark.parametrize("bit", [0, 100, 255, 256, 300, 500])
async def test_a_signature_with_one_bit_flipped_is_refused(router: Running, evm: bool, bit: int) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    text = message(router, wallet)
    value = header(text, wallet, flipped(wallet.sign(text.encode()), bit))
    await check_refused(router, wallet, value, "invalid_signature", "sign the exact text sent")


@each_wallet
async def test_another_wallets_signature_is_refused(router: Running, evm: bool) -> None:
    wallet, other = await router.wallet("1.00", evm=evm), await router.wallet("1.00", evm=evm)
    text = message(router, wallet)
    await check_refused(router, wallet, header(text, other), "invalid_signature", "not this account's")
    assert (await router.balance(other)).debits_posted == 0


@each_wallet
async def test_a_signature_over_another_message_is_refused(router: Running, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    signature = wallet.sign(message(router, wallet, expires=at(60)).encode())
    value = header(message(router, wallet), wallet, signature)
    await check_refused(router, wallet, value, "invalid_signature", "sign the exact text sent")


@each_wallet
@pytest.mark.parametrize("signature", ["x", "0x", "11111111111111", "0x" + "00" * 65, "0x" + "ff" * 65, "é"])
async def test_garbage_for_a_signature_is_refused(router: Running, evm: bool, signature: str) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    value = header(message(router, wallet), wallet, signature)
    await check_refused(router, wallet, value, "invalid_signature", "not this account's")


@each_wallet
async def test_after_a_good_call_the_same_message_with_another_signature_is_refused(router: Running, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    text = message(router, wallet)
    good = {"sign-in-with-x": header(text, wallet)}
    assert (await router.post(None, chat(), **good)).status_code == 200
    for signature in ("garbage", flipped(wallet.sign(text.encode()), 7)):
        await check_refused(router, wallet, header(text, wallet, signature), "invalid_signature", "not this account's")
    assert (await router.post(None, chat(), **good)).status_code == 200


SMALL_ORDER = {
    "order 1": "0100000000000000000000000000000000000000000000000000000000000000",
    "order 2": "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "order 4": "0000000000000000000000000000000000000000000000000000000000000000",
    "order 8": "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "order 1, not canonical": "0100000000000000000000000000000000000000000000000000000000000080",
}


@pytest.mark.parametrize("point", SMALL_ORDER)
async def test_a_small_order_key_signs_nobody_in(router: Running, point: str) -> None:
    """With R and the key of small order and S = 0, a lax verifier accepts one signature for (almost) any message."""
    wallet = await router.wallet("1.00")
    key = bytes.fromhex(SMALL_ORDER[point])
    text = message(router, wallet).replace(wallet.address, base58.encode(key))
    for r in SMALL_ORDER.values():
        forged = base58.encode(bytes.fromhex(r) + bytes(32))
        await check_refused(router, wallet, header(text, wallet, forged), "invalid_signature", "not this account's")


# --- what is good for one call


@each_wallet
async def test_a_server_nonce_that_was_used_is_refused(router: Running, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    used = await single_use(router, wallet)
    assert (await router.post(None, chat(), **used)).status_code == 200
    await check_refused(router, wallet, used["sign-in-with-x"], "nonce_used", "sign a new message with a new nonce")


async def test_the_high_s_twin_of_a_used_sign_in_is_refused(router: Running) -> None:
    wallet = await router.wallet("1.00", evm=True)
    text = message(router, wallet, nonce=(await router.get("/session/nonce"))["nonce"])
    signature = wallet.sign(text.encode())
    used = {"sign-in-with-x": header(text, wallet, signature)}
    assert (await router.post(None, chat(), **used)).status_code == 200
    for other in (high_s_twin(signature), signature[2:], signature.upper().replace("X", "x")):
        await check_refused(router, wallet, header(text, wallet, other), "nonce_used", "sign a new message")


async def test_a_nonce_is_not_used_up_by_a_bad_signature(router: Running) -> None:
    wallet = await router.wallet("1.00")
    text = message(router, wallet, nonce=(await router.get("/session/nonce"))["nonce"])
    await check_refused(router, wallet, header(text, wallet, "garbage"), "invalid_signature", "not this account's")
    assert (await router.post(None, chat(), **{"sign-in-with-x": header(text, wallet)})).status_code == 200


async def test_a_server_nonce_that_is_too_old_is_refused(router: Running) -> None:
    wallet = await router.wallet("1.00")
    now_ms = router.router.services.clock.now_ms()
    old, _ = Nonces(await router.ledger.secret("nonces")).issue(now_ms - LIFETIME_MS - 1_000)
    value = header(message(router, wallet, nonce=old), wallet)
    await check_refused(router, wallet, value, "expired_sign_in", "get one at GET /session/nonce")


@each_wallet
async def test_the_fields_form_is_good_for_one_call(router: Running, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    value = fields_form(router, wallet, nonce="a1b2c3d4e5f6a7b8", issued=at(0))
    assert (await router.post(None, chat(), **{"sign-in-with-x": value})).status_code == 200
    await check_refused(router, wallet, value, "nonce_used", "sign a new message with a new nonce")


@each_wallet
async def test_the_fields_form_is_good_for_five_minutes(router: Running, evm: bool) -> None:
    wallet = await router.wallet("1.00", evm=evm)
    value = fields_form(router, wallet, nonce="a1b2c3d4e5f6a7b8", issued=at(-420))
    await check_refused(router, wallet, value, "expired_sign_in", "has expired: sign a new message.")


async def test_the_fields_form_needs_its_fields(router: Running) -> None:
    wallet = await router.wallet("1.00")
    content = json.loads(base64.b64decode(fields_form(router, wallet, nonce="a1b2c3d4", issued=at(0))))
    for name in ("nonce", "issuedAt"):
        value = encoded({key: value for key, value in content.items() if key != name}).decode()
        await check_refused(router, wallet, value, "invalid_sign_in", f"as x402 fields it lacks {name}")


async def test_where_nonces_are_required_a_sign_in_without_one_of_ours_is_refused() -> None:
    async with running(config='[auth]\nnonces = "required"\n') as router:
        wallet = await router.wallet("1.00")
        for nonce in (None, "a1b2c3d4e5f6a7b8", "f" * 62):
            value = header(message(router, wallet, nonce=nonce), wallet)
            await check_refused(router, wallet, value, "nonce_required", "get one at GET /session/nonce")


# --- who may call


async def test_accounts_that_are_not_allowed_or_denied_are_refused() -> None:
    allowed, denied, stranger = SolanaWallet.new(), EvmWallet.new(), EvmWallet.new()
    accounts = json.dumps([f"eip155:1:{denied.address}", f"{allowed.chain}:{allowed.address}"])
    config = f'[auth]\naccounts = {accounts}\ndeny = ["{account_id(denied)}"]\n'
    async with running(config=config) as router:
        for wallet in (allowed, denied, stranger):
            await router.credit(wallet, "1.00")
        for wallet in (denied, stranger):
            async with unharmed(router, allowed):
                answer = await router.post(wallet, chat())
                refused(answer, 403, "account_not_allowed", says="ask its operator to allow it")
            assert (await router.balance(wallet)).debits_posted == 0


@pytest.mark.parametrize("path", ["session/balance", "session/transactions", "generations/x"])
async def test_reading_a_wallets_records_asks_for_the_same_sign_in(router: Running, path: str) -> None:
    wallet = await router.wallet("1.00")
    async with unharmed(router, wallet):
        refused(await router.http.get(f"/v1/{path}"), 401, "missing_sign_in")
        value = header(message(router, wallet), wallet, "garbage")
        answer = await router.http.get(f"/v1/{path}", headers={"sign-in-with-x": value})
        refused(answer, 401, "invalid_signature")
