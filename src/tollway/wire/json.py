"""The one place JSON is read and written. Strict (RFC 8259): no NaN, no trailing comma; UTF-8 only."""

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

DecodeError = msgspec.DecodeError  # ValidationError is one of its subclasses
ValidationError = msgspec.ValidationError
Raw = msgspec.Raw

_encoder = msgspec.json.Encoder()
_any = msgspec.json.Decoder()
_fields: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])


def encode(value: Any) -> bytes:
    return _encoder.encode(value)


def decode(data: bytes | str) -> Any:
    """Any JSON value. Raises DecodeError, UnicodeDecodeError (no UTF-8) or RecursionError (about 1,000 levels deep)."""
    return _any.decode(data)


def decode_as(data: bytes | msgspec.Raw, type: type[T]) -> T:
    return msgspec.json.decode(data, type=type)


def decode_fields(data: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The top level of an object, values as raw bytes. Of a repeated key the last one stays: re-encoded from this,
    a body can't mean one thing here and another at the provider."""
    return _fields.decode(data)


def encode_fields(fields: dict[str, msgspec.Raw]) -> bytes:
    """An object from raw values, which are copied byte for byte."""
    return _encoder.encode(fields)


def decoder(type: Any) -> msgspec.json.Decoder[Any]:
    """A decoder for values of one type, for hot paths: made once, kept by whoever uses it."""
    return msgspec.json.Decoder(type)
