"""The header's limits, and what stands for it in the books."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.claims import Claim
from tollway.domain.errors import RequestError
from tollway.intake.idempotency import KEY_BYTES_MAX, claim


def test_without_the_header_nothing_is_claimed() -> None:
    assert claim(None, "r") is None


def test_a_key_is_known_by_its_hash_alone() -> None:
    assert claim(b"order-4711", "r") == Claim(key=hashlib.sha256(b"order-4711").hexdigest(), request="r")


@given(st.binary(min_size=1, max_size=KEY_BYTES_MAX))
def test_every_byte_that_is_printable_ascii_is_taken_and_no_other(key: bytes) -> None:
    if key.isascii() and key.decode("ascii").isprintable():
        assert claim(key, "r") is not None
    else:
        with pytest.raises(RequestError) as raised:
            claim(key, "r")
        assert raised.value.param == "Idempotency-Key"


@pytest.mark.parametrize("key", [b"", b"x" * (KEY_BYTES_MAX + 1)])
def test_a_key_that_is_empty_or_too_long_is_refused_without_being_shown(key: bytes) -> None:
    with pytest.raises(RequestError) as raised:
        claim(key, "r")
    assert "xxx" not in raised.value.message
