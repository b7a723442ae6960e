"""What is good for one call: server nonces and the fields form. Used up durably, last of all, failing closed."""

import base64
import json

import pytest

from helpers.sign_ins import (
    EVM,
    HOUR_MS,
    NOW_MS,
    SOLANA,
    WALLETS,
    Gate,
    encoded,
    fields_form,
    header,
    high_s_twin,
    rfc3339,
    signed,
    text,
)
from tollway.auth.envelope import open_envelope
from tollway.client.wallet import EvmWallet, Wallet
from tollway.domain.commands import BurnNonce, Credited, Refused, Revoke
from tollway.domain.errors import (
    AccountNotAllowed,
    ExpiredSignIn,
    InternalError,
    InvalidSignature,
    InvalidSignIn,
    LedgerOutcomeUnknown,
    LedgerUnavailable,
    NonceRequired,
    NonceUsed,
    NotYetValid,
    RevokedSignIn,
    ScopeRequired,
    SignInError,
)

MINUTE_MS = 60_000
KEYS = "urn:tollway:scope:keys"
OPERATOR = "urn:tollway:scope:operator"

each_wallet = pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])


# --- server nonces


@each_wallet
async def test_a_server_nonce_is_good_for_one_call(wallet: Wallet) -> None:
    gate = Gate()
    value = header(wallet, nonce=gate.nonce())
    await gate.sign_in.identify(value, None)
    for _ in range(2):
        with pytest.raises(NonceUsed):
            await gate.sign_in.identify(value, None)


async def test_the_high_s_twin_of_a_used_sign_in_is_refused() -> None:
    gate = Gate()
    message = text(EVM, nonce=gate.nonce())
    signature = EVM.sign(message.encode())
    await gate.sign_in.identify(signed(message, EVM, signature), None)
    for other in (high_s_twin(signature), signature[2:], signature[:-2] + f"{int(signature[-2:], 16) - 27:02x}"):
        with pytest.raises(NonceUsed):
            await gate.sign_in.identify(signed(message, EVM, other), None)


async def test_a_used_nonce_is_used_in_every_message_of_that_wallet() -> None:
    gate = Gate()
    nonce = gate.nonce()
    await gate.sign_in.identify(header(EVM, nonce=nonce), None)
    with pytest.raises(NonceUsed):
        await gate.sign_in.identify(header(EVM, nonce=nonce, request_id="2"), None)
    with pytest.raises(NonceUsed):
        await gate.sign_in.identify(header(EVM, nonce=nonce, chain="eip155:1"), None)


async def test_one_wallet_can_not_use_up_anothers_nonce() -> None:
    gate = Gate()
    nonce = gate.nonce()
    await gate.sign_in.identify(header(SOLANA, nonce=nonce), None)
    await gate.sign_in.identify(header(EVM, nonce=nonce), None)


async def test_a_nonce_is_remembered_as_long_as_it_could_be_used() -> None:
    gate = Gate()
    nonce, expires_s = gate.sign_in.issue_nonce()
    await gate.sign_in.identify(header(nonce=nonce, expires=rfc3339(MINUTE_MS)), None)
    (burned,) = gate.ledger.burned.values()
    assert burned >= expires_s * 1000


async def test_an_expired_nonce_does_not_come_back_as_a_bearer_token() -> None:
    """The ledger has forgotten it by then."""
    gate = Gate()
    value = header(nonce=gate.nonce())
    await gate.sign_in.identify(value, None)
    gate.ledger.burned.clear()
    gate.clock.at_ms = NOW_MS + 5 * MINUTE_MS
    with pytest.raises(ExpiredSignIn, match="GET /session/nonce"):
        await gate.sign_in.identify(value, None)


async def test_a_nonce_of_the_clients_own_leaves_the_text_form_a_bearer_token() -> None:
    gate = Gate()
    value = header(nonce="12345678", resources=KEYS)
    for _ in range(3):
        await gate.sign_in.identify(value, None)
    assert gate.ledger.applied == []


@pytest.mark.parametrize("fields", [{}, {"nonce": "12345678"}, {"nonce": "0" * 62}])
async def test_where_nonces_are_required_every_call_needs_one_of_ours(fields: dict[str, str]) -> None:
    gate = Gate(nonces="required")
    with pytest.raises(NonceRequired, match="GET /session/nonce"):
        await gate.sign_in.identify(header(**fields), None)
    with pytest.raises(NonceRequired):
        await gate.sign_in.identify(encoded(fields_form()), None)
    await gate.sign_in.identify(header(nonce=gate.nonce()), None)
    await gate.sign_in.identify(encoded(fields_form(nonce=gate.nonce())), None)


# --- scopes


async def test_a_scope_needs_a_fresh_nonce_and_its_name_in_resources() -> None:
    gate = Gate()
    value = header(nonce=gate.nonce(), resources=f"https://example.com {KEYS} {OPERATOR}")
    await gate.sign_in.identify(value, None, scope=KEYS)
    with pytest.raises(NonceUsed):
        await gate.sign_in.identify(value, None, scope=OPERATOR)


async def test_a_bearer_sign_in_never_carries_a_scope_known_or_not() -> None:
    gate = Gate()
    value = header(resources=KEYS)
    for _ in range(2):
        with pytest.raises(NonceRequired):
            await gate.sign_in.identify(value, None, scope=KEYS)
        await gate.sign_in.identify(value, None)


async def test_a_message_without_the_scope_is_told_to_name_it_and_keeps_its_nonce() -> None:
    gate = Gate()
    value = header(nonce=gate.nonce(), resources=KEYS)
    with pytest.raises(ScopeRequired, match=OPERATOR):
        await gate.sign_in.identify(value, None, scope=OPERATOR)
    await gate.sign_in.identify(value, None, scope=KEYS)


# --- the fields form


@each_wallet
async def test_the_fields_form_is_good_for_one_call(wallet: Wallet) -> None:
    gate = Gate()
    value = encoded(fields_form(wallet))
    caller = await gate.sign_in.identify(value, None)
    assert caller.caip_account_id == f"{wallet.chain}:{wallet.address}"
    assert caller.expires_at == (NOW_MS + 5 * MINUTE_MS) // 1000
    with pytest.raises(NonceUsed):
        await gate.sign_in.identify(value, None)


async def test_the_fields_form_with_our_nonce_carries_scopes_once() -> None:
    gate = Gate()
    value = encoded(fields_form(nonce=gate.nonce(), resources=[KEYS]))
    await gate.sign_in.identify(value, None, scope=KEYS)
    with pytest.raises(NonceUsed):
        await gate.sign_in.identify(value, None, scope=KEYS)


async def test_the_high_s_twin_of_a_used_fields_form_is_refused() -> None:
    gate = Gate()
    content = fields_form(EVM)
    await gate.sign_in.identify(encoded(content), None)
    with pytest.raises(NonceUsed):
        await gate.sign_in.identify(encoded(content | {"signature": high_s_twin(str(content["signature"]))}), None)


@each_wallet
async def test_a_used_fields_form_does_not_come_back_as_the_text_form(wallet: Wallet) -> None:
    """Its text is signed and ends within the hour: unless it is refused, it is a bearer token to whoever saw it."""
    gate = Gate()
    content = fields_form(wallet, expirationTime=rfc3339(30 * MINUTE_MS))
    await gate.sign_in.identify(encoded(content), None)
    message = open_envelope(encoded(content), "header").text
    with pytest.raises(RevokedSignIn):
        await gate.sign_in.identify(signed(message, wallet, str(content["signature"])), None)
    (lasts_until_ms,) = gate.ledger.revocations.values()
    assert lasts_until_ms >= NOW_MS + 31 * MINUTE_MS


async def test_the_fields_form_is_good_for_five_minutes_from_its_issue() -> None:
    for fields in ({}, {"expirationTime": rfc3339(HOUR_MS)}):
        gate = Gate(clock_skew_s=0)
        gate.clock.at_ms = NOW_MS + 5 * MINUTE_MS - 1
        await gate.sign_in.identify(encoded(fields_form(**fields)), None)
        gate.clock.at_ms += 1
        with pytest.raises(ExpiredSignIn):
            await gate.sign_in.identify(encoded(fields_form(nonce="another1", **fields)), None)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"expirationTime": rfc3339(-2 * MINUTE_MS)}, ExpiredSignIn),
        ({"issuedAt": rfc3339(2 * MINUTE_MS)}, NotYetValid),
        ({"notBefore": rfc3339(2 * MINUTE_MS)}, NotYetValid),
        ({"expirationTime": rfc3339(2 * HOUR_MS)}, InvalidSignIn),
        ({"nonce": "short"}, InvalidSignIn),
        ({"issuedAt": "yesterday"}, InvalidSignIn),
    ],
)
async def test_the_fields_form_keeps_the_same_times(fields: dict[str, str], error: type[SignInError]) -> None:
    with pytest.raises(error):
        await Gate().sign_in.identify(encoded(fields_form(**fields)), None)


# Made by x402 2.25's own client (create_siwx_payload), signed by eth-account and solders.
X402_CLIENT = [
    (EVM, {}, "0x769c8fce5184c10fcfed4ac626c93f4072190f93c6e553c2b848fd6683c5ceda"
              "7ee552b086f1dbdf01d67efddecb070f2ecc010114ffc29a178c893bc5c594d31c"),
    (SOLANA, {}, "2tkcyWUEa1uNR6ZPZHMNFGpt7P6cL4u7D88HNPBM8ZabkV672rsxbrgeKhMVSEaTWTLLi1PAr6idggAKPp8DZ6sU"),
    (EVM, {"full": True}, "0xc4c583642cf5cb38cc9519b58acd628e2994035282381519c5f171e86b7edf8f"
                          "21a2bc212fcef385ecf3e0accb5bb2b67b2a6a8e2b890e5b5e134f8326e9e5751c"),
    (SOLANA, {"full": True},
     "4QWkddgx9cj79w97VNaLq9ZQKpWeqjWiG3VyPvZPbb3SMAB1Cnm2i1FXD71ebKTcJab84CXkF9VUc7Jg91cUXx17"),
]  # fmt: skip


@pytest.mark.parametrize(("wallet", "full", "signature"), X402_CLIENT)
async def test_what_x402s_own_client_signs_is_accepted(wallet: Wallet, full: dict[str, bool], signature: str) -> None:
    content = {
        "domain": "router.test:8402",
        "address": wallet.address,
        "uri": "https://router.test:8402/api/v1/chat/completions",
        "version": "1",
        "chainId": wallet.chain,
        "type": "eip191" if wallet is EVM else "ed25519",
        "nonce": "a1b2c3d4e5f6a7b8",
        "issuedAt": "2026-01-01T00:00:00.000Z",
        "signature": signature,
    }
    if full:
        content |= {
            "statement": "Use the router.",
            "expirationTime": "2026-01-01T00:04:00.000Z",
            "notBefore": "2026-01-01T00:00:00.000Z",
            "requestId": "r-1",
            "resources": [KEYS],  # type: ignore[dict-item]
        }
    value = base64.b64encode(json.dumps(content).encode())
    assert (await Gate().sign_in.identify(value, None)).caip_account_id == f"{wallet.chain}:{wallet.address}"


# --- the nonce is used up last, durably, and in doubt not at all


async def test_a_sign_in_that_is_refused_for_anything_else_keeps_its_nonce() -> None:
    gate = Gate(deny=(f"{SOLANA.chain}:{SOLANA.address}",))
    nonce = gate.nonce()
    for value, error in (
        (signed(text(EVM, nonce=nonce), EvmWallet.new()), InvalidSignature),
        (header(SOLANA, nonce=nonce), AccountNotAllowed),
        (header(EVM, nonce=nonce, expires=rfc3339(-HOUR_MS)), ExpiredSignIn),
    ):
        with pytest.raises(error):
            await gate.sign_in.identify(value, None)
    assert gate.ledger.applied == []
    await gate.sign_in.identify(header(EVM, nonce=nonce), None)


async def test_a_single_use_sign_in_is_burned_with_its_account_and_nonce_alone() -> None:
    """Signature bytes in the key would let the high-s twin through."""
    gate = Gate()
    nonce, expires_s = gate.sign_in.issue_nonce()
    await gate.sign_in.identify(header(EVM, nonce=nonce, expires=rfc3339(MINUTE_MS)), None)
    account = f"eip155:{EVM.address.lower()}"
    assert gate.ledger.applied == [BurnNonce(account=account, nonce=nonce, expires_ms=expires_s * 1000 + MINUTE_MS)]


async def test_the_fields_form_burns_first_and_revokes_its_text_with_it() -> None:
    gate = Gate()
    await gate.sign_in.identify(encoded(fields_form()), None)
    assert [type(command) for command in gate.ledger.applied] == [BurnNonce, Revoke]


async def test_a_revoked_single_use_sign_in_stays_used() -> None:
    gate = Gate()
    value = header(nonce=gate.nonce())
    caller = await gate.sign_in.identify(value, None)
    await gate.sign_in.revoke(caller)
    with pytest.raises(NonceUsed):
        await gate.sign_in.identify(value, None)


@pytest.mark.parametrize("fault", [LedgerUnavailable("down"), LedgerOutcomeUnknown()])
async def test_without_a_ledger_no_single_use_sign_in_passes(fault: Exception) -> None:
    gate = Gate()
    caller = await gate.sign_in.identify(header(), None)
    gate.ledger.fault = fault
    with pytest.raises(LedgerUnavailable):
        await gate.sign_in.identify(header(nonce=gate.nonce()), None)
    with pytest.raises(LedgerUnavailable):
        await gate.sign_in.identify(encoded(fields_form()), None)
    with pytest.raises(LedgerUnavailable):
        await gate.sign_in.revoke(caller)


@pytest.mark.parametrize("answer", [Refused(reason="id_reused"), Credited(available=0)])
async def test_an_answer_that_makes_no_sense_is_no_permission(answer: Refused | Credited) -> None:
    gate = Gate()
    caller = await gate.sign_in.identify(header(), None)
    gate.ledger.answer = answer
    with pytest.raises(InternalError):
        await gate.sign_in.identify(header(nonce=gate.nonce()), None)
    with pytest.raises(InternalError):
        await gate.sign_in.revoke(caller)
