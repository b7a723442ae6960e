"""Bodies of chat requests, and what they parse to."""

import json
from typing import Any

import msgspec

from tollway.domain.call import Call
from tollway.intake.parse import Limits, parse

HELLO = [{"role": "user", "content": "Hello"}]


def parsed(body: bytes, limits: Limits | None = None) -> Call:
    return parse(body, id="call-1", limits=limits or Limits())


def asked(_limits: Limits | None = None, **fields: Any) -> Call:
    """The Call of a request with `fields`; model and messages are there unless given."""
    return parsed(json.dumps({"model": "m", "messages": HELLO} | fields, separators=(",", ":")).encode(), _limits)


def forwarded(call: Call) -> Any:
    """What of a request goes on to a provider, decoded."""
    return {name: msgspec.json.decode(raw) for name, raw in call.fields.items()}
