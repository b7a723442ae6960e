"""The text of a prompt, for counting its tokens. Off the path: `measure` has checked the same fields before.

Must not know what a token is, or who counts.
"""

from typing import Any

from tollway.domain.recount import Text
from tollway.intake.prompt import NOT_PROMPT, TEXT_PARTS
from tollway.wire.json import Raw, decode, encode

_PLAIN = frozenset({"role", "content", "name"})


def prompt_text(fields: dict[str, Raw]) -> Text:
    """Text is text; tools, schemas and whatever else may reach the model are their JSON."""
    pieces: list[str] = []
    plain = True
    for message in decode(bytes(fields["messages"])):
        plain = plain and message.keys() <= _PLAIN
        for key, value in message.items():
            if key == "content" and isinstance(value, list):
                texts = [_part(part) for part in value]
                pieces += [text for text in texts if text is not None]
                plain = plain and None not in texts
            elif value is not None:
                pieces.append(value if isinstance(value, str) else encode(value).decode())
    for name, raw in fields.items():
        if name not in NOT_PROMPT:
            plain = False
            pieces.append(name + bytes(raw).decode())
    return Text(tuple(pieces), plain=plain)


def _part(part: dict[str, Any]) -> str | None:
    """A content part's text; None for one that is no text."""
    text = part.get(TEXT_PARTS.get(part["type"], ""))
    return text if isinstance(text, str) else None
