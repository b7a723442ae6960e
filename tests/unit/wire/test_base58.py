import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire import base58


@given(st.binary(max_size=90))
def test_decoding_gives_back_what_was_encoded(data: bytes) -> None:
    assert base58.decode(base58.encode(data)) == data


@given(st.text(alphabet=base58.ALPHABET, max_size=base58.TEXT_MAX))
def test_every_value_has_one_text(text: str) -> None:
    assert base58.encode(base58.decode(text)) == text


@pytest.mark.parametrize(
    ("data", "text"),
    [(b"", ""), (b"Hello World!", "2NEpo7TZRRrLZSi2U"), (b"\0\0\x28\x7f\xb4\xcd", "11233QC4"), (b"\0" * 32, "1" * 32)],
)
def test_it_is_the_alphabet_of_bitcoin(data: bytes, text: str) -> None:
    assert base58.encode(data) == text


@pytest.mark.parametrize("text", ["0", "O", "I", "l", "2NEpo7TZ RrL", "é", "1\n"])
def test_other_characters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not base58"):
        base58.decode(text)


def test_long_text_is_refused_before_it_is_decoded() -> None:
    with pytest.raises(ValueError, match="longer than 128"):
        base58.decode("2" * 129)
