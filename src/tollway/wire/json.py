"""The one place JSON is read and written. Strict (RFC 8259): no NaN, no trailing comma; UTF-8 only; of bounded depth.

Depth is checked before decoding, since the decoder's own limit is the interpreter's: 3.11 counts its levels with the
frames of Python against `sys.setrecursionlimit`, and overflows the stack when any package has raised that; later
versions have limits of their own.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from tollway.wire.structure import TooDeep as TooDeep
from tollway.wire.structure import check_structure

T = TypeVar("T")

DecodeError = msgspec.DecodeError  # a ValueError; ValidationError and TooDeep are subclasses
ValidationError = msgspec.ValidationError
Raw = msgspec.Raw

# Levels of arrays and objects. What is real has under 50, the least that a supported Python decodes by itself is about
# 900; and a text of no more bytes than this needs no look at all: an ordinary event of a stream has 350.
DEPTH_MAX = 500

# Both are the encoder's own method, which all that is written goes through: no step between. An object's raw values are
# copied byte for byte.
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode
encode_fields: Callable[[dict[str, msgspec.Raw]], bytes] = encode


def check_depth(text: bytes | str | msgspec.Raw) -> None:
    """Raises TooDeep when `text` nests deeper than DEPTH_MAX, up to the first byte of it that is no JSON."""
    if len(text) > DEPTH_MAX:
        check_structure(text.encode() if isinstance(text, str) else bytes(text), max_depth=DEPTH_MAX)


def decoder(type: Any) -> Callable[[bytes | str | msgspec.Raw], Any]:
    """A function that reads values of one type, for whoever reads many: made once.

    It raises DecodeError (ValidationError: JSON, but of another type; TooDeep) or UnicodeDecodeError."""
    decode = msgspec.json.Decoder(type).decode

    def checked(text: bytes | str | msgspec.Raw) -> Any:
        if len(text) > DEPTH_MAX:
            check_depth(text)
        return decode(text)

    return checked


def unchecked_decoder(type: Any) -> msgspec.json.Decoder[Any]:
    """A decoder for parts of a text whose depth has been checked as a whole."""
    return msgspec.json.Decoder(type)


_any = decoder(Any)

# The top level of an object, values as raw bytes. Of a repeated key the last one stays: re-encoded from this, a body
# can't mean one thing here and another at the provider. Raises as `decoder` says.
decode_fields: Callable[[bytes | msgspec.Raw], dict[str, msgspec.Raw]] = decoder(dict[str, msgspec.Raw])


def decode(text: bytes | str) -> Any:
    """Any JSON value. Raises as `decoder` says, and UnicodeEncodeError for a str that UTF-8 can't say."""
    return _any(text)


def decode_as(data: bytes | msgspec.Raw, type: type[T]) -> T:
    """Raises as `decoder` says, and for what is no UTF-8 anywhere: the decoder looks only at what it takes."""
    check_depth(data)
    whole = bytes(data)
    if not whole.isascii():
        whole.decode()
    return msgspec.json.decode(data, type=type)
