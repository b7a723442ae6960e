import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.sign_ins import NONCE_KEY, NOW_MS
from tollway.auth.nonce import LIFETIME_MS, Nonces

NONCES = Nonces(NONCE_KEY)
NONCE, EXPIRES_S = NONCES.issue(NOW_MS)


def test_a_nonce_lives_five_minutes() -> None:
    assert EXPIRES_S * 1000 == NOW_MS + 300_000 == NOW_MS + LIFETIME_MS
    assert NONCES.expiry_ms(NONCE) == EXPIRES_S * 1000


def test_it_is_letters_and_digits_as_eip_4361_asks() -> None:
    assert NONCE.isascii()
    assert NONCE.isalnum()
    assert 8 <= len(NONCE) <= 128


def test_no_two_are_the_same() -> None:
    assert len({NONCES.issue(NOW_MS)[0] for _ in range(1000)}) == 1000


def test_another_process_with_the_key_knows_it_and_one_without_does_not() -> None:
    assert Nonces(NONCE_KEY).expiry_ms(NONCE) == EXPIRES_S * 1000
    assert Nonces(bytes(32)).expiry_ms(NONCE) is None


@given(index=st.integers(0, len(NONCE) - 1), other=st.sampled_from("0123456789abcdefABCDEFz"))
def test_no_character_of_it_may_differ_not_even_in_case(index: int, other: str) -> None:
    changed = NONCE[:index] + other + NONCE[index + 1 :]
    assert NONCES.expiry_ms(changed) == (EXPIRES_S * 1000 if changed == NONCE else None)


@given(st.text())
def test_a_nonce_of_the_clients_own_making_is_not_ours(nonce: str) -> None:
    assert NONCES.expiry_ms(nonce) is None


@pytest.mark.parametrize("cut", [0, 8, 30, 61])
def test_part_of_one_is_none(cut: int) -> None:
    assert NONCES.expiry_ms(NONCE[:cut]) is None
    assert NONCES.expiry_ms(NONCE + NONCE[:1]) is None


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Nonces(bytes(31))
