"""The cursor: opaque, and nothing but what a statement gave."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.ledger.statement import decode_cursor, encode_cursor


@given(st.integers(1, 2**63 - 1))
def test_a_cursor_comes_back_as_it_went(seq: int) -> None:
    assert decode_cursor(encode_cursor(seq)) == seq


@given(st.text(max_size=100))
def test_any_text_is_a_cursor_or_a_value_error(text: str) -> None:
    try:
        seq = decode_cursor(text)
    except ValueError as error:
        assert str(error).startswith("cursor:")
    else:
        assert 0 < seq < 2**63


def test_no_cursor_goes_on_from_the_first_transfer() -> None:
    assert encode_cursor(0) == ""


def test_a_seq_beyond_64_bits_is_no_cursor() -> None:
    with pytest.raises(ValueError, match="cursor"):
        decode_cursor(encode_cursor(2**63))
