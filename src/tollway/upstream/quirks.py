"""What a provider's quirks change in the fields of a request, once everything else is in place.

Each rewrite keeps what the request means, and values byte-faithful; a quirk that would change it is no rewrite but
routing's affair. Must not know which provider has which.
"""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from tollway.domain.quirks import Quirk
from tollway.wire import json
from tollway.wire.json import Raw

Fields = dict[str, Raw]
Rewrite = Callable[[Fields], None]

_SYSTEM = Raw(b'"system"')


def rewrites(quirks: Collection[Quirk]) -> tuple[Rewrite, ...]:
    """What to do to every request, in a fixed order; nothing for a provider without quirks."""
    return tuple(rewrite for quirk, rewrite in _REWRITES.items() if quirk in quirks)


def _limit_as(name: str, other: str) -> Rewrite:
    """The output limit under one name: the two mean the same (OpenAI's `max_tokens` is the older)."""

    def rewrite(fields: Fields) -> None:
        if other in fields:
            limit = fields.pop(other)
            fields.setdefault(name, limit)

    return rewrite


def _no_developer(fields: Fields) -> None:
    """OpenAI renamed the system role to developer: the same messages under the name that every server knows."""
    if "messages" not in fields or not _may_say_developer(fields["messages"]):
        return
    messages = json.decode_as(fields["messages"], list[Raw])
    fields["messages"] = Raw(json.encode([_as_system(message) for message in messages]))


def _as_system(message: Raw) -> Raw:
    if not _may_say_developer(message):
        return message
    members = json.decode_fields(message)
    if "role" not in members or json.decode(bytes(members["role"])) != "developer":
        return message
    members["role"] = _SYSTEM
    return Raw(json.encode_fields(members))


def _may_say_developer(text: Raw) -> bool:
    return b"developer" in (written := bytes(text)) or b"\\u" in written  # an escape may spell it


def _no_stream_options(fields: Fields) -> None:
    fields.pop("stream_options", None)


def _one_choice(fields: Fields) -> None:
    """Only calls for one choice come here, which is what a request says that doesn't name a number."""
    fields.pop("n", None)


_REWRITES: Mapping[Quirk, Rewrite] = MappingProxyType(
    {
        "max_completion_tokens": _limit_as("max_completion_tokens", "max_tokens"),
        "max_tokens": _limit_as("max_tokens", "max_completion_tokens"),
        "no_developer_role": _no_developer,
        "no_stream_options": _no_stream_options,
        "one_choice": _one_choice,
    }
)
