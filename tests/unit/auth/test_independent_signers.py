"""Signatures of wallets that are not ours: eth-account and solders sign, the router verifies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.sign_ins import EVM, SOLANA, Gate, signed, text
from tollway.client.wallet import EvmWallet, SolanaWallet

eth_account = pytest.importorskip("eth_account")
eth_messages = pytest.importorskip("eth_account.messages")
solders = pytest.importorskip("solders.keypair")

keys = st.binary(min_size=32, max_size=32).filter(lambda key: 0 < int.from_bytes(key, "big") < 2**255)


@given(key=keys, message=st.text(max_size=100))
def test_our_wallets_have_their_addresses_and_sign_as_they_do(key: bytes, message: str) -> None:
    account, pair = eth_account.Account.from_key(key), solders.Keypair.from_seed(key)
    assert EvmWallet(key).address == account.address
    assert SolanaWallet(key).address == str(pair.pubkey())
    theirs = account.sign_message(eth_messages.encode_defunct(text=message)).signature
    assert EvmWallet(key).sign(message.encode()) == "0x" + bytes(theirs).hex()
    assert SolanaWallet(key).sign(message.encode()) == str(pair.sign_message(message.encode()))


async def test_what_they_sign_is_accepted() -> None:
    account = eth_account.Account.from_key(b"\x11" * 32)
    signature = account.sign_message(eth_messages.encode_defunct(text=text(EVM))).signature.hex()
    assert await Gate().sign_in.identify(signed(text(EVM), EVM, signature), None)
    pair = solders.Keypair.from_seed(bytes([7]) * 32)
    signature = str(pair.sign_message(text(SOLANA).encode()))
    assert await Gate().sign_in.identify(signed(text(SOLANA), SOLANA, signature), None)
