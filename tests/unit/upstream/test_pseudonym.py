"""The name a provider knows a caller's end user by."""

import hashlib
import hmac
import re

from hypothesis import given
from hypothesis import strategies as st

from tollway.upstream.pseudonym import pseudonyms

KEY = b"k" * 32
WALLET, OTHER = "eip155:0x" + "ab" * 20, "eip155:0x" + "cd" * 20

pseudonym = pseudonyms(KEY)


def test_it_is_the_first_32_hex_digits_of_hmac_sha256_over_account_and_user() -> None:
    whole = hmac.new(KEY, f"{WALLET}\nu-1".encode(), hashlib.sha256).hexdigest()
    assert pseudonym(WALLET, "u-1") == whole[:32]


def test_it_is_the_same_every_time_and_after_a_restart_with_the_same_key() -> None:
    assert pseudonym(WALLET, "u-1") == pseudonym(WALLET, "u-1") == pseudonyms(KEY)(WALLET, "u-1")


def test_another_key_gives_another() -> None:
    assert pseudonyms(b"j" * 32)(WALLET, "u-1") != pseudonym(WALLET, "u-1")


def test_wallets_that_name_the_same_user_share_none() -> None:
    assert pseudonym(WALLET, "u-1") != pseudonym(OTHER, "u-1")
    assert pseudonym(WALLET, None) != pseudonym(OTHER, None)


def test_no_user_an_empty_one_and_a_named_one_differ() -> None:
    assert len({pseudonym(WALLET, user) for user in (None, "", "\n", "None")}) == 4


@given(st.text(st.characters()))  # lone surrogates too: JSON can carry them
def test_any_user_has_one_and_it_tells_nothing_of_him(user: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", pseudonym(WALLET, user))
