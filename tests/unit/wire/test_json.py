"""What may be read as JSON: values of bounded depth, on every Python alike."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire import json
from tollway.wire.json import DEPTH_MAX


class Known(msgspec.Struct):
    """A value of which only one member is of interest."""

    known: int = 0


READERS: dict[str, Callable[[bytes], Any]] = {
    "decode": json.decode,
    "decode as text": lambda data: json.decode(data.decode()),
    "decode_as": lambda data: json.decode_as(data, Known),
    "decode_as raw": lambda data: json.decode_as(json.Raw(data), Known),
    "decode_fields": json.decode_fields,
    "decode_fields raw": lambda data: json.decode_fields(json.Raw(data)),
    "decoder": json.decoder(Known),
}
READ = pytest.mark.parametrize("read", READERS.values(), ids=READERS.keys())

# Run by an interpreter of its own, since what it shows would end the process.
WITHOUT_A_LIMIT = """
import sys
from tollway.wire import json
sys.setrecursionlimit(10**6)
text = b'{"x":' + b"[" * 10**6
for read in (json.decode, json.decode_fields, json.decoder(int), lambda text: json.decode_as(text, int)):
    try:
        read(text)
    except json.TooDeep as error:
        print(error)
"""


def nested(depth: int) -> bytes:
    """An object of so many levels, itself the first."""
    return b'{"unknown":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@READ
def test_the_greatest_depth_is_read_and_one_more_level_is_not(read: Callable[[bytes], Any]) -> None:
    read(nested(DEPTH_MAX))
    with pytest.raises(json.TooDeep, match="more than 500 levels"):
        read(nested(DEPTH_MAX + 1))


@READ
def test_what_is_too_deep_is_so_before_it_is_found_to_be_no_json(read: Callable[[bytes], Any]) -> None:
    with pytest.raises(json.TooDeep):
        read(b'{"unknown":' * (DEPTH_MAX + 1))


@READ
def test_a_text_as_short_as_the_greatest_depth_is_left_to_the_decoder(read: Callable[[bytes], Any]) -> None:
    with pytest.raises(json.DecodeError) as refused:
        read(b"[" * DEPTH_MAX)
    assert not isinstance(refused.value, json.TooDeep)


@READ
def test_brackets_in_a_long_text_are_no_levels(read: Callable[[bytes], Any]) -> None:
    read(b'{"unknown":"' + b"[{" * 10_000 + b'"}')


def test_no_depth_ends_the_process_whatever_python_is_told_to_bear() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_LIMIT], capture_output=True, text=True, timeout=120, check=False
    )
    said = "arrays and objects are nested more than 500 levels deep\n"
    assert (run.returncode, run.stdout, run.stderr) == (0, 4 * said, "")


def test_a_value_is_read_as_the_type_asked_for() -> None:
    assert json.decode_as(b'{"known":7,"other":[]}', Known) == Known(7)
    assert json.decoder(list[int])(json.Raw(b"[1,2]")) == [1, 2]
    with pytest.raises(json.ValidationError):
        json.decode_as(b'{"known":"7"}', Known)


@pytest.mark.parametrize("text", [b"", b"{", b"[1,]", b"NaN", b"{} {}", b"\xef\xbb\xbf{}", b"{'a':1}"])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises(json.DecodeError):
        json.decode(text)


@pytest.mark.parametrize("text", [b'"\xff"', b'"\xed\xa0\x80"', '"\udcff"', "[" * 500 + '"\udcff"'])
def test_what_is_no_unicode_is_refused(text: bytes | str) -> None:
    with pytest.raises(UnicodeError):
        json.decode(text)


def test_an_object_keeps_its_values_byte_for_byte_and_of_a_repeated_key_the_last() -> None:
    fields = json.decode_fields(b'{"a":1.0,"b":{"x" :1e2},"a": "\\u0041" }')
    assert json.encode_fields(fields) == b'{"a":"\\u0041","b":{"x" :1e2}}'


def test_the_parts_of_a_checked_text_are_read_without_another_look() -> None:
    assert json.unchecked_decoder(list[int]).decode(b"[1]") == [1]


@given(
    st.recursive(
        st.none() | st.integers(-(2**53), 2**53) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert json.decode(json.encode(value)) == value


@pytest.mark.parametrize("text", [b'{"a\xff":1}', b'{"a":1,"b":["\xff"]}', b'{"a":1,"\xed\xa0\x80":1}'])
def test_what_is_no_utf_8_is_refused_where_nobody_looks_as_well(text: bytes) -> None:
    with pytest.raises(UnicodeDecodeError):
        json.decode_as(text, Known)
    assert json.decode_as('{"known":1,"\u00e9":2}'.encode(), Known) == Known(1)
