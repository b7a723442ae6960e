"""Which signatures vouch for a message, by kind of key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.sign_ins import EVM, SOLANA, high_s_twin
from tollway.auth import ed25519, secp256k1
from tollway.client.wallet import EvmWallet, SolanaWallet
from tollway.wire import base58, evm
from tollway.wire import secp256k1 as curve

MESSAGE = b"router.test wants you to sign in"
SOLANA_SIGNATURE = SOLANA.sign(MESSAGE)
EVM_SIGNATURE = EVM.sign(MESSAGE)

# The points of order 1, 2, 4 and 8, and their non-canonical encodings (Cremers and Jackson, eprint 2019/526).
SMALL_ORDER_KEYS = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]
ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def test_a_wallets_own_signature_vouches() -> None:
    assert ed25519.verify(SOLANA.address, MESSAGE, SOLANA_SIGNATURE)
    assert secp256k1.verify(EVM.address, MESSAGE, EVM_SIGNATURE)


def test_another_wallets_signature_does_not() -> None:
    assert not ed25519.verify(SolanaWallet.new().address, MESSAGE, SOLANA_SIGNATURE)
    assert not secp256k1.verify(EvmWallet.new().address, MESSAGE, EVM_SIGNATURE)


@given(bit=st.integers(0, 64 * 8 - 1))
def test_no_bit_of_an_ed25519_signature_may_differ(bit: int) -> None:
    raw = bytearray(base58.decode(SOLANA_SIGNATURE))
    raw[bit // 8] ^= 1 << bit % 8
    assert not ed25519.verify(SOLANA.address, MESSAGE, base58.encode(bytes(raw)))


@given(bit=st.integers(0, 65 * 8 - 1))
def test_no_bit_of_a_secp256k1_signature_may_differ(bit: int) -> None:
    raw = bytearray.fromhex(EVM_SIGNATURE[2:])
    raw[bit // 8] ^= 1 << bit % 8
    assert not secp256k1.verify(EVM.address, MESSAGE, raw.hex())


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS)
@pytest.mark.parametrize("point", SMALL_ORDER_KEYS)
def test_a_small_order_key_vouches_for_nothing(key: str, point: str) -> None:
    """R of small order and S = 0 satisfy the bare equation for any message."""
    forgery = base58.encode(bytes.fromhex(point) + bytes(32))
    assert not ed25519.verify(base58.encode(bytes.fromhex(key)), MESSAGE, forgery)


def test_an_ed25519_signature_has_one_encoding() -> None:
    """S plus the group's order is the same number to a lax verifier (RFC 8032, 5.1.7)."""
    raw = base58.decode(SOLANA_SIGNATURE)
    s = int.from_bytes(raw[32:], "little") + ED25519_ORDER
    assert not ed25519.verify(SOLANA.address, MESSAGE, base58.encode(raw[:32] + s.to_bytes(32, "little")))


@pytest.mark.parametrize("signature", ["", "0", "1" * 64, "1" * 129, "é", EVM_SIGNATURE, SOLANA_SIGNATURE[:-1]])
def test_what_is_no_ed25519_signature_does_not_vouch(signature: str) -> None:
    assert not ed25519.verify(SOLANA.address, MESSAGE, signature)


@pytest.mark.parametrize("prefix", ["", "0x"])
@pytest.mark.parametrize("offset", [0, 27])
@pytest.mark.parametrize("upper", [False, True])
def test_evm_signatures_come_with_and_without_0x_and_with_either_recovery_id(
    prefix: str, offset: int, upper: bool
) -> None:
    raw = bytes.fromhex(EVM_SIGNATURE[2:])
    digits = (raw[:64] + bytes([raw[64] - 27 + offset])).hex()
    assert secp256k1.verify(EVM.address, MESSAGE, prefix + (digits.upper() if upper else digits))


@pytest.mark.parametrize("v", [2, 3, 4, 26, 29, 30, 31, 32, 35, 255])
def test_other_recovery_ids_are_refused(v: int) -> None:
    assert not secp256k1.verify(EVM.address, MESSAGE, f"{EVM_SIGNATURE[:-2]}{v:02x}")


def test_the_high_s_twin_vouches_too() -> None:
    """Which is why nothing that has to be unique is made of signature bytes."""
    twin = high_s_twin(EVM_SIGNATURE)
    assert twin != EVM_SIGNATURE
    assert secp256k1.verify(EVM.address, MESSAGE, twin)


@pytest.mark.parametrize(
    "signature",
    ["", "0x", "0x" + "0" * 130, "f" * 128 + "00", EVM_SIGNATURE[:-2], EVM_SIGNATURE + "00", "0X" + EVM_SIGNATURE[2:],
     "0x" + EVM_SIGNATURE, " " + EVM_SIGNATURE, EVM_SIGNATURE + "\n", EVM_SIGNATURE[:4] + "  " + EVM_SIGNATURE[6:],
     "１" + EVM_SIGNATURE[1:], SOLANA_SIGNATURE],
)  # fmt: skip
def test_what_is_no_secp256k1_signature_does_not_vouch(signature: str) -> None:
    assert not secp256k1.verify(EVM.address, MESSAGE, signature)


def test_a_bare_signature_over_the_text_is_not_personal_sign() -> None:
    raw = curve.sign(evm.keccak_256(MESSAGE), b"\x11" * 32)
    assert not secp256k1.verify(EVM.address, MESSAGE, raw.hex())


@given(signature=st.text(max_size=200))
def test_no_text_vouches_or_makes_a_verifier_fail(signature: str) -> None:
    assert not ed25519.verify(SOLANA.address, MESSAGE, signature)
    assert not secp256k1.verify(EVM.address, MESSAGE, signature)
