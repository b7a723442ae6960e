"""No input makes identify fail otherwise than by its rules, and nothing that was not signed passes."""

import asyncio
import base64
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from helpers.sign_ins import EVM, SOLANA, WALLETS, Gate, encoded, fields_form, header, text
from tollway.client.wallet import Wallet
from tollway.domain.call import Caller
from tollway.domain.errors import SignInError
from tollway.wire import base58

MESSAGES = {wallet.namespace: text(wallet, nonce="12345678") for wallet in WALLETS}
SIGNATURES = {wallet.namespace: wallet.sign(MESSAGES[wallet.namespace].encode()) for wallet in WALLETS}
CALLERS = {f"{wallet.chain}:{wallet.address}" for wallet in WALLETS}

each_wallet = pytest.mark.parametrize("wallet", WALLETS, ids=["solana", "evm"])


def identify(*values: bytes) -> Caller:
    """The last of several calls at one gate."""

    async def calls() -> Caller:
        gate = Gate()
        for value in values[:-1]:
            await gate.sign_in.identify(value, None)
        return await gate.sign_in.identify(values[-1], None)

    return asyncio.run(calls())


@given(st.binary(max_size=400))
def test_no_bytes_make_it_fail_otherwise(value: bytes) -> None:
    for sign_in, authorization in ((value, None), (None, value), (None, b"Bearer " + value), (value, value)):
        with pytest.raises(SignInError):
            asyncio.run(Gate().sign_in.identify(sign_in, authorization))


@given(st.data())
def test_no_damaged_header_makes_it_fail_otherwise_or_gives_another_caller(data: st.DataObject) -> None:
    value = data.draw(st.sampled_from([header(SOLANA), header(EVM), encoded(fields_form(SOLANA))]))
    start = data.draw(st.integers(0, len(value)))
    stop = data.draw(st.integers(start, min(len(value), start + 4)))
    damaged = value[:start] + data.draw(st.binary(max_size=4)) + value[stop:]
    try:
        caller = asyncio.run(Gate().sign_in.identify(damaged, None))
    except SignInError as error:
        assert error.status == 401
    else:
        assert caller.caip_account_id in CALLERS


@each_wallet
@given(data=st.data())
def test_nothing_that_differs_in_one_byte_of_the_message_passes(wallet: Wallet, data: st.DataObject) -> None:
    message = MESSAGES[wallet.namespace]
    index = data.draw(st.integers(0, len(message) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != message[index]))
    changed = message[:index] + other + message[index + 1 :]
    good, bad = (encoded({"message": each, "signature": SIGNATURES[wallet.namespace]}) for each in (message, changed))
    with pytest.raises(SignInError):
        identify(good, bad)


@each_wallet
@given(data=st.data())
def test_nothing_that_differs_in_one_byte_of_the_signature_passes(wallet: Wallet, data: st.DataObject) -> None:
    """But for the recovery id's two spellings, which name the same signature."""
    signature = SIGNATURES[wallet.namespace]
    raw = bytearray(base58.decode(signature) if wallet is SOLANA else bytes.fromhex(signature[2:]))
    index = data.draw(st.integers(0, len(raw) - 1))
    same = {raw[index], raw[index] - 27} if index == 64 else {raw[index]}
    raw[index] = data.draw(st.integers(0, 255).filter(lambda value: value not in same))
    changed = base58.encode(bytes(raw)) if wallet is SOLANA else "0x" + raw.hex()
    good, bad = (encoded({"message": MESSAGES[wallet.namespace], "signature": each}) for each in (signature, changed))
    with pytest.raises(SignInError, match="signature"):
        identify(good, bad)


@each_wallet
@given(data=st.data())
def test_no_field_of_the_fields_form_may_differ(wallet: Wallet, data: st.DataObject) -> None:
    content: dict[str, Any] = fields_form(wallet)
    name = data.draw(st.sampled_from(sorted(content)))
    value = str(content[name])
    index = data.draw(st.integers(0, len(value) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character.lower() != value[index].lower()))
    content[name] = value[:index] + other + value[index + 1 :]
    # The recovery id has two spellings; the test of the text form tells them apart.
    assume(name != "signature" or wallet is SOLANA or index < len(value) - 2)
    with pytest.raises(SignInError):
        identify(encoded(content))


@given(st.lists(st.sampled_from(["message", "signature"]), min_size=2, max_size=5), st.randoms())
def test_repeated_keys_never_split_what_is_verified_from_what_is_acted_on(keys: list[str], random: Any) -> None:
    """Good and bad values under the same key in any order: either the good pair counts, or nothing passes."""
    good = {"message": MESSAGES["solana"], "signature": SIGNATURES["solana"]}
    bad = {"message": MESSAGES["eip155"], "signature": SIGNATURES["eip155"]}
    members = [f"{json.dumps(key)}: {json.dumps(random.choice((good, bad))[key])}" for key in keys]
    value = base64.b64encode(("{" + ", ".join(members) + "}").encode())
    try:
        caller = identify(value)
    except SignInError as error:
        assert error.status == 401
    else:
        assert caller.caip_account_id in CALLERS
