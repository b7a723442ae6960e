"""Server-sent events read a second time, by the words of the standard (HTML, 9.2.6) and none of our code: slow, and
plain enough to be believed."""

import json
import re
from typing import Any, NamedTuple


class Read(NamedTuple):
    """Payloads of the events that a blank line ended, and of the one that was left open at the end, if any."""

    payloads: list[bytes]
    open: bytes | None


def read(stream: bytes) -> Read:
    lines = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    payloads: list[bytes] = []
    data: list[bytes] = []
    for position, line in enumerate(lines):
        if line == b"" and position < len(lines) - 1:  # what follows the last line end is a line that has not ended
            if data:
                payloads.append(b"\n".join(data))
            data = []
            continue
        name, _, value = line.partition(b":")
        if name == b"data":
            data.append(value[1:] if value[:1] == b" " else value)
    return Read(payloads, b"\n".join(data) if data else None)


def objects(payloads: list[bytes]) -> list[dict[str, Any]]:
    """The JSON objects among `payloads`, up to [DONE]. Numbers stay text: two readings of one are never compared."""
    found = []
    for payload in payloads:
        meaning = payload.strip(b" \t\n")
        if meaning == b"[DONE]":
            break
        if meaning.startswith(b"{"):
            value = json.loads(payload, parse_int=str, parse_float=str, parse_constant=str)
            found.append(json.loads(_whole(json.dumps(value))))
    return found


def _whole(text: str) -> str:
    """Lone surrogates as U+FFFD: where an event is written anew they are replaced."""
    lone = r"\\u(?:d[89ab][0-9a-f]{2}(?!\\ud[c-f][0-9a-f]{2})|d[c-f][0-9a-f]{2})"
    pairs = r"(\\u(?:d[89ab][0-9a-f]{2})\\ud[c-f][0-9a-f]{2}|\\[^u]|\\u(?!d[89a-f])[0-9a-f]{4})|" + lone
    return re.sub(pairs, lambda match: match[1] or r"\ufffd", text)
