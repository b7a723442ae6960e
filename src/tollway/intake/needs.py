"""What a call can't be answered without: tools, a form of answer, eyes for its pictures. Only for choosing who is
asked; must not know who has it.
"""

from collections.abc import Collection, Mapping

import msgspec

from tollway.domain.parameters import PART_NEEDS
from tollway.wire.json import Raw, ValidationError, unchecked_decoder

_NONE = Raw(b"[]")
_FIELDS = frozenset({"tools", "functions", "response_format"})
_FORMS = {"json_object": "response_format", "json_schema": "structured_outputs", "text": None}


class _Form(msgspec.Struct, frozen=True, gc=False):
    type: str = ""


_form = unchecked_decoder(_Form)


def needs(fields: Mapping[str, Raw], parts: Collection[str]) -> frozenset[str]:
    """The capabilities (domain/parameters.py) that `fields` and the kinds of content `parts` ask for."""
    if not parts and _FIELDS.isdisjoint(fields):
        return frozenset()
    found = {PART_NEEDS[kind] for kind in parts if kind in PART_NEEDS}
    if any(name in fields and fields[name] != _NONE for name in ("tools", "functions")):
        found.add("tools")
    if "response_format" in fields and (form := _form_asked(fields["response_format"])) is not None:
        found.add(form)
    return frozenset(found)


def _form_asked(raw: Raw) -> str | None:
    """A form that nobody has heard of, or that is no object, is the provider's to refuse."""
    try:
        form = _form.decode(raw)
    except ValidationError:
        return "response_format"
    return _FORMS.get(form.type, "response_format")
