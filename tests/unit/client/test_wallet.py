"""Wallets: made, kept in files nobody else may read, never overwritten, read back."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet, WalletError, account_id, load_wallet
from tollway.wire import base58, evm, secp256k1

KINDS = [SolanaWallet, EvmWallet]
each_kind = pytest.mark.parametrize("kind", KINDS)

SEED = bytes([7]) * 32
SOLANA_ADDRESS = "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB"
EVM_ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


def written(path: Path, content: str, mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


def test_addresses_are_those_of_other_wallets() -> None:
    assert SolanaWallet(SEED).address == SOLANA_ADDRESS
    assert EvmWallet(b"\x11" * 32).address == EVM_ADDRESS


@each_kind
def test_every_new_wallet_is_another(kind: type[SolanaWallet | EvmWallet]) -> None:
    assert kind.new().address != kind.new().address


@each_kind
def test_a_saved_wallet_is_read_back_as_the_same(kind: type[SolanaWallet | EvmWallet], tmp_path: Path) -> None:
    path = tmp_path / "wallet"
    wallet = kind.new()
    wallet.save(path)
    for read in (kind.load(path), load_wallet(path)):
        assert type(read) is kind
        assert read.address == wallet.address
        assert read.sign(b"x") == wallet.sign(b"x")


@each_kind
def test_a_wallets_file_is_for_its_owner_alone_whatever_the_umask(
    kind: type[SolanaWallet | EvmWallet], tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        kind.new().save(tmp_path / "wallet")
    finally:
        os.umask(before)
    assert (tmp_path / "wallet").stat().st_mode & 0o777 == 0o600


@each_kind
def test_a_wallet_is_never_overwritten(kind: type[SolanaWallet | EvmWallet], tmp_path: Path) -> None:
    path = tmp_path / "wallet"
    wallet = kind.new()
    wallet.save(path)
    with pytest.raises(WalletError, match="never overwritten: choose another file"):
        kind.new().save(path)
    assert load_wallet(path).address == wallet.address


def test_a_file_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WalletError, match="never overwritten"):
        SolanaWallet.new().save(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()


def test_a_wallet_that_can_not_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="can't be written: No such file or directory"):
        SolanaWallet.new().save(tmp_path / "missing" / "wallet")


def test_half_a_wallet_is_not_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WalletError, match="No space left on device"):
        EvmWallet.new().save(tmp_path / "wallet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644, 0o777])
@each_kind
def test_a_wallet_others_may_touch_is_refused_with_the_mending_command(
    kind: type[SolanaWallet | EvmWallet], mode: int, tmp_path: Path
) -> None:
    path = tmp_path / "wallet"
    kind.new().save(path)
    path.chmod(mode)
    for load in (kind.load, load_wallet):
        with pytest.raises(WalletError, match=f"run chmod 600 {path}"):
            load(path)


def test_the_file_of_a_solana_wallet_is_the_solana_clis(tmp_path: Path) -> None:
    path = tmp_path / "id.json"
    SolanaWallet(SEED).save(path)
    assert json.loads(path.read_text()) == [*SEED, *base58.decode(SOLANA_ADDRESS)]


def test_the_file_of_an_ethereum_wallet_is_its_key_in_hex(tmp_path: Path) -> None:
    path = tmp_path / "key"
    EvmWallet(b"\x11" * 32).save(path)
    assert path.read_text() == "0x" + "11" * 32 + "\n"


@pytest.mark.parametrize("content", ["11" * 32, "0x" + "11" * 32, f"  {'11' * 32}\r\n"])
def test_a_key_may_be_written_by_hand(content: str, tmp_path: Path) -> None:
    assert load_wallet(written(tmp_path / "key", content)).address == EVM_ADDRESS


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "no Ethereum wallet"),
        ("hello", "no Ethereum wallet"),
        ("11" * 31, "no Ethereum wallet"),
        ("11" * 33, "no Ethereum wallet"),
        ("00" * 32, "no valid Ethereum private key"),
        ("ff" * 32, "no valid Ethereum private key"),
        ("[]", "no Solana wallet"),
        ("[1, 2", "no Solana wallet"),
        ("[" * 2000, "no Solana wallet"),
        (json.dumps(["1"] * 64), "no Solana wallet"),
        (json.dumps([256] * 64), "no Solana wallet"),
        (json.dumps([-1] * 64), "no Solana wallet"),
        (json.dumps([1.5] * 64), "no Solana wallet"),
        (json.dumps([1] * 32), "no Solana wallet"),
        (json.dumps([1] * 64), "damaged: its public key is not that of its private key"),
        ("0" * 5000, "longer than 4096 bytes"),
    ],
)
def test_a_file_that_is_no_wallet_is_refused_without_showing_it(content: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(WalletError, match=complaint) as caught:
        load_wallet(written(tmp_path / "wallet", content))
    assert not content or content not in str(caught.value)


def test_one_kind_of_wallet_is_not_the_other(tmp_path: Path) -> None:
    SolanaWallet.new().save(tmp_path / "solana")
    EvmWallet.new().save(tmp_path / "evm")
    with pytest.raises(WalletError, match="no Ethereum wallet"):
        EvmWallet.load(tmp_path / "solana")
    with pytest.raises(WalletError, match="no Solana wallet"):
        SolanaWallet.load(tmp_path / "evm")


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(WalletError, match="tollway wallet new"):
        load_wallet(tmp_path / "missing")


@given(message=st.binary(max_size=200))
def test_signatures_are_base58_ed25519_and_hex_personal_sign(message: bytes) -> None:
    solana, ethereum = SolanaWallet(SEED), EvmWallet(b"\x11" * 32)
    VerifyKey(base58.decode(solana.address)).verify(message, base58.decode(solana.sign(message)))
    signature = ethereum.sign(message)
    raw = bytes.fromhex(signature.removeprefix("0x"))
    assert signature.startswith("0x")
    assert raw[64] in (27, 28)
    recovered = secp256k1.recover(evm.text_hash(message), raw[:64] + bytes([raw[64] - 27]))
    assert evm.address_of(recovered) == ethereum.address


@pytest.mark.parametrize(
    ("wallet", "chain", "account"),
    [
        (SolanaWallet(SEED), None, f"solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:{SOLANA_ADDRESS}"),
        (SolanaWallet(SEED), "solana:x", f"solana:x:{SOLANA_ADDRESS}"),
        (EvmWallet(b"\x11" * 32), None, f"eip155:{EVM_ADDRESS.lower()}"),
        (EvmWallet(b"\x11" * 32), "eip155:1", f"eip155:{EVM_ADDRESS.lower()}"),
    ],
)
def test_a_wallet_knows_its_account_in_a_ledger(wallet: Wallet, chain: str | None, account: str) -> None:
    assert account_id(wallet, chain) == account


@each_kind
def test_printing_a_wallet_shows_no_key(kind: type[SolanaWallet | EvmWallet]) -> None:
    wallet = kind(b"\x11" * 32)
    assert "11" * 4 not in repr(wallet).replace(hex(id(wallet)), "")
    assert "\\x11" not in repr(wallet)
