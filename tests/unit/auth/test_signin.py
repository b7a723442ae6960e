"""Who calls: what identify accepts, and which rule it names when it refuses."""

import base64

import pytest

from helpers.sign_ins import (
    DOMAIN,
    EVM,
    HOUR_MS,
    NOW_MS,
    SOLANA,
    WALLETS,
    Gate,
    encoded,
    fields_form,
    header,
    rfc3339,
    signed,
    text,
)
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet
from tollway.domain.errors import (
    AccountNotAllowed,
    ExpiredSignIn,
    InvalidSignature,
    InvalidSignIn,
    MissingSignIn,
    NotYetValid,
    RateLimited,
    RevokedSignIn,
    SignInError,
    UnsupportedChain,
    WrongDomain,
)
from tollway.wire import base58

MINUTE_MS = 60_000


async def test_a_solana_key_is_an_account_on_its_network() -> None:
    caller = await Gate().sign_in.identify(header(SOLANA), None)
    assert caller.account == caller.caip_account_id == f"{SOLANA.chain}:{SOLANA.address}"
    assert caller.expires_at == (NOW_MS + HOUR_MS) // 1000


async def test_an_evm_key_is_one_account_on_every_chain_and_shown_as_signed_in() -> None:
    gate = Gate()
    for chain in ("eip155:8453", "eip155:1", "10"):
        caller = await gate.sign_in.identify(header(EVM, chain=chain), None)
        assert caller.account == f"eip155:{EVM.address.lower()}"
        assert caller.caip_account_id == f"eip155:{chain.removeprefix('eip155:')}:{EVM.address}"


async def test_an_address_in_lower_case_is_the_same_account() -> None:
    message = text(EVM).replace(EVM.address, EVM.address.lower())
    caller = await Gate().sign_in.identify(signed(message, EVM), None)
    assert caller.caip_account_id == f"eip155:8453:{EVM.address}"


# --- where the sign-in is carried


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
async def test_the_same_value_may_come_as_a_bearer_token(scheme: bytes) -> None:
    gate = Gate()
    for _ in range(2):
        caller = await gate.sign_in.identify(None, scheme + header())
        assert caller == await gate.sign_in.identify(header(), None)


async def test_a_dummy_bearer_token_beside_the_sign_in_is_ignored() -> None:
    caller = await Gate().sign_in.identify(header(), b"Bearer sk-dummy")
    assert caller.account.endswith(SOLANA.address)


async def test_the_sign_in_wins_over_another_wallets_bearer_token() -> None:
    caller = await Gate().sign_in.identify(header(SOLANA), b"Bearer " + header(EVM))
    assert caller.account.startswith("solana:")


@pytest.mark.parametrize("authorization", [None, b"", b"Basic dTpw", b"Bearer"])
@pytest.mark.parametrize("sign_in", [None, b""])
async def test_no_sign_in_is_told_how(sign_in: bytes | None, authorization: bytes | None) -> None:
    with pytest.raises(MissingSignIn, match=r"Sign-In-With-X: base64\(.*bearer token"):
        await Gate().sign_in.identify(sign_in, authorization)


@pytest.mark.parametrize("token", [b"", b"sk-dummy", b"sk_live_0123456789", b"aGVsbG8="])
async def test_a_bearer_token_that_is_no_sign_in_is_told_what_to_send(token: bytes) -> None:
    with pytest.raises(InvalidSignIn, match=r"bearer token is not base64.*Sign-In-With-X: base64\("):
        await Gate().sign_in.identify(None, b"Bearer " + token)


async def test_a_header_of_9_kb_is_refused() -> None:
    with pytest.raises(InvalidSignIn, match="longer than 8192 bytes"):
        await Gate().sign_in.identify(b"A" * 9_000, None)


# --- signatures


@pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])
async def test_another_wallets_signature_is_refused(wallet: Wallet) -> None:
    other = SolanaWallet.new() if wallet is SOLANA else EvmWallet.new()
    with pytest.raises(InvalidSignature) as caught:
        await Gate().sign_in.identify(signed(text(wallet), other), None)
    assert other.sign(text(wallet).encode()) not in caught.value.message


async def test_a_small_order_key_can_sign_in_nowhere() -> None:
    identity = b"\1" + bytes(31)
    message = text().replace(SOLANA.address, base58.encode(identity))
    with pytest.raises(InvalidSignature):
        await Gate().sign_in.identify(signed(message, signature=base58.encode(identity + bytes(32))), None)


@pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])
@pytest.mark.parametrize("signature", ["x", "1" * 64, "0x" + "00" * 65, "0x" + "11" * 64 + "1b"])
async def test_after_a_good_call_the_same_message_with_a_garbage_signature_is_refused(
    wallet: Wallet, signature: str
) -> None:
    gate = Gate()
    await gate.sign_in.identify(header(wallet), None)
    with pytest.raises(InvalidSignature):
        await gate.sign_in.identify(signed(text(wallet), wallet, signature), None)
    await gate.sign_in.identify(header(wallet), None)


async def test_message_and_signature_can_not_trade_characters_in_the_cache() -> None:
    gate = Gate()
    message, signature = text(SOLANA), SOLANA.sign(text(SOLANA).encode())
    await gate.sign_in.identify(signed(message), None)
    with pytest.raises(SignInError):
        await gate.sign_in.identify(signed(message + signature[:1], signature=signature[1:]), None)


async def test_a_known_sign_in_in_another_spelling_of_base64_is_the_same_caller() -> None:
    gate = Gate()
    value = header()
    caller = await gate.sign_in.identify(value, None)
    unpadded = base64.urlsafe_b64encode(base64.b64decode(value) + b"  ").rstrip(b"=")
    assert await gate.sign_in.identify(unpadded, None) == caller


# --- domains


@pytest.mark.parametrize(
    "domain", ["router.test", "router.test:8403", "ROUTER.TEST:8402", "evil.test", f"{DOMAIN}.evil.test", "a@" + DOMAIN]
)
async def test_a_sign_in_for_another_domain_is_told_the_accepted_ones(domain: str) -> None:
    message = text().replace(f"{DOMAIN} wants", f"{domain} wants")
    with pytest.raises(WrongDomain, match=r"accepted here: router\.test:8402, other\.test\.") as caught:
        await Gate(domains=(DOMAIN, "other.test")).sign_in.identify(signed(message), None)
    assert caught.value.details == {"accepted_domains": [DOMAIN, "other.test"]}


@pytest.mark.parametrize("path", ["", "/", "/api/v1/session/balance", "?a=b", "#c", "/x@y:z"])
@pytest.mark.parametrize("origin", [f"https://{DOMAIN}", f"http://{DOMAIN}", "HTTPS://other.test"])
async def test_the_uri_may_be_any_path_of_an_accepted_domain(origin: str, path: str) -> None:
    """A client reuses one message for every path until it expires."""
    await Gate(domains=(DOMAIN, "other.test")).sign_in.identify(header(uri=origin + path), None)


@pytest.mark.parametrize(
    "uri",
    ["https://router.test/", "https://evil.test/", f"https://a@{DOMAIN}/", f"https://{DOMAIN}@evil.test/",
     f"https://{DOMAIN}\\@evil.test/", f"ftp://{DOMAIN}/", f"https:{DOMAIN}", f"urn:{DOMAIN}", f"https:///{DOMAIN}"],
)  # fmt: skip
async def test_a_uri_elsewhere_is_a_wrong_domain(uri: str) -> None:
    with pytest.raises(WrongDomain, match="URI"):
        await Gate().sign_in.identify(header(uri=uri), None)


# --- chains and accounts


@pytest.mark.parametrize(
    ("wallet", "chain"), [(SOLANA, "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1"), (EVM, "eip155:1"), (EVM, "1")]
)
async def test_a_chain_that_is_not_accepted_is_told_the_accepted_ones(wallet: Wallet, chain: str) -> None:
    gate = Gate(chains=("eip155:8453", "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"))
    with pytest.raises(UnsupportedChain, match=r"accepted here: eip155:8453, solana:5eykt") as caught:
        await gate.sign_in.identify(header(wallet, chain=chain), None)
    assert "eip155:8453" in caught.value.details["accepted_chains"]  # type: ignore[operator]
    assert await gate.sign_in.identify(header(wallet), None)


@pytest.mark.parametrize(
    ("settings", "allowed"),
    [
        ({}, True),
        ({"accounts": (f"eip155:1:{EVM.address}",)}, True),
        ({"accounts": (f"eip155:{EVM.address.lower()}",)}, True),
        ({"accounts": (f"{SOLANA.chain}:{SOLANA.address}",)}, False),
        ({"accounts": ()}, False),
        ({"deny": (f"eip155:8453:{EVM.address.lower()}",)}, False),
        ({"accounts": (f"eip155:1:{EVM.address}",), "deny": (f"eip155:1:{EVM.address}",)}, False),
        ({"deny": ("*",)}, False),
        ({"deny": (f"{SOLANA.chain}:{SOLANA.address}",)}, True),
    ],
)
async def test_accounts_are_allowed_and_denied_by_name(settings: dict[str, object], allowed: bool) -> None:
    gate = Gate(**settings)
    if allowed:
        assert await gate.sign_in.identify(header(EVM), None)
    else:
        with pytest.raises(AccountNotAllowed):
            await gate.sign_in.identify(header(EVM), None)


async def test_who_is_allowed_is_not_told_without_a_signature() -> None:
    with pytest.raises(InvalidSignature):
        await Gate(accounts=()).sign_in.identify(signed(text(EVM), EvmWallet.new()), None)


def test_an_account_that_is_none_stops_the_start() -> None:
    with pytest.raises(ValueError, match="an account is"):
        Gate(accounts=("alice",))


# --- time


@pytest.mark.parametrize("known", [False, True])
async def test_a_sign_in_is_good_until_it_expires_and_the_clock_skew_longer(known: bool) -> None:
    gate = Gate()
    if known:
        await gate.sign_in.identify(header(), None)
    gate.clock.at_ms = NOW_MS + HOUR_MS + MINUTE_MS - 1
    await gate.sign_in.identify(header(), None)
    gate.clock.at_ms += 1
    with pytest.raises(ExpiredSignIn):
        await gate.sign_in.identify(header(), None)


@pytest.mark.parametrize("line", ["not_before", "issued"])
async def test_a_sign_in_is_good_from_its_start_and_the_clock_skew_earlier(line: str) -> None:
    gate = Gate()
    value = header(**{line: rfc3339(10 * MINUTE_MS)})
    gate.clock.at_ms = NOW_MS + 9 * MINUTE_MS - 1
    with pytest.raises(NotYetValid):
        await gate.sign_in.identify(value, None)
    gate.clock.at_ms += 1
    await gate.sign_in.identify(value, None)
    gate.clock.at_ms -= 1
    with pytest.raises(NotYetValid):
        await gate.sign_in.identify(value, None)


@pytest.mark.parametrize("known", [False, True])
async def test_without_an_issue_time_the_lifetime_counts_from_now(known: bool) -> None:
    gate = Gate()
    value = header(expires=rfc3339(2 * HOUR_MS))
    opens_ms = NOW_MS + HOUR_MS - MINUTE_MS
    if known:
        gate.clock.at_ms = opens_ms
        await gate.sign_in.identify(value, None)
    gate.clock.at_ms = opens_ms - 1
    with pytest.raises(InvalidSignIn, match="at most 3600 seconds ahead"):
        await gate.sign_in.identify(value, None)


async def test_with_an_issue_time_the_lifetime_counts_from_it() -> None:
    gate = Gate(max_lifetime_s=600, clock_skew_s=0)
    gate.clock.at_ms = NOW_MS + 5 * MINUTE_MS
    await gate.sign_in.identify(header(issued=rfc3339(0), expires=rfc3339(10 * MINUTE_MS)), None)
    with pytest.raises(InvalidSignIn, match="at most 600 seconds ahead"):
        await gate.sign_in.identify(header(issued=rfc3339(0), expires=rfc3339(10 * MINUTE_MS + 1)), None)


async def test_the_text_form_must_have_an_end() -> None:
    with pytest.raises(InvalidSignIn, match="no Expiration Time"):
        await Gate().sign_in.identify(header(expires=None, issued=rfc3339(0), nonce="12345678"), None)


async def test_an_expiry_within_a_second_is_never_rounded_to_before_it() -> None:
    caller = await Gate().sign_in.identify(header(expires=rfc3339(1)), None)
    assert caller.expires_at == NOW_MS // 1000 + 1


# --- revocation


@pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])
async def test_a_revoked_message_is_refused_however_it_comes(wallet: Wallet) -> None:
    gate = Gate()
    caller = await gate.sign_in.identify(header(wallet), None)
    await gate.sign_in.revoke(caller)
    value = header(wallet)
    respelled = base64.urlsafe_b64encode(base64.b64decode(value) + b"  ").rstrip(b"=")
    for sign_in, authorization in ((value, None), (respelled, None), (None, b"Bearer " + value)):
        with pytest.raises(RevokedSignIn):
            await gate.sign_in.identify(sign_in, authorization)


async def test_a_revocation_lasts_as_long_as_the_message_would() -> None:
    gate = Gate()
    caller = await gate.sign_in.identify(header(), None)
    await gate.sign_in.revoke(caller)
    assert gate.ledger.revocations == {caller.message_hash: NOW_MS + HOUR_MS + MINUTE_MS}


async def test_another_message_of_the_same_wallet_is_not_revoked_with_it() -> None:
    gate = Gate()
    await gate.sign_in.revoke(await gate.sign_in.identify(header(), None))
    await gate.sign_in.identify(header(request_id="2"), None)


# --- every refusal


@pytest.mark.parametrize(
    "value",
    [
        b"!", b"A" * 9_000, header(version="2"), header(expires=rfc3339(-HOUR_MS)),
        header(not_before=rfc3339(HOUR_MS)), header(uri="https://evil.test"), header(chain="solana:x"),
        signed(text(), EVM), encoded(fields_form(issuedAt=rfc3339(-HOUR_MS))),
    ],
)  # fmt: skip
async def test_a_refusal_is_a_401_that_never_shows_the_signature_or_touches_the_ledger(value: bytes) -> None:
    gate = Gate()
    with pytest.raises(SignInError) as caught:
        await gate.sign_in.identify(value, None)
    error = caught.value
    assert (error.status, error.type, error.should_retry) == (401, "authentication_error", False)
    for wallet in WALLETS:
        assert wallet.sign(text().encode())[:16] not in error.message + str(error.details)
    assert gate.ledger.applied == []


# --- whoever counts attempts


async def test_what_is_known_from_before_is_not_examined_and_whoever_asks_before_that_may_refuse() -> None:
    gate, asked = Gate(), list[str]()

    async def unknown() -> None:
        asked.append("may it be examined?")
        if len(asked) > 1:
            raise RateLimited("not now")

    for _ in range(3):
        await gate.sign_in.identify(header(), None, unknown=unknown)
    assert len(asked) == 1
    with pytest.raises(RateLimited):
        await gate.sign_in.identify(header(EVM), None, unknown=unknown)
    assert (await gate.sign_in.identify(header(EVM), None)).account.startswith("eip155:")
