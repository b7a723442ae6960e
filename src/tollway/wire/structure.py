"""How deep and how large a JSON text is, before anything is built from it.

Strings are cut out at the speed of `bytes.split`, and what is left is seldom looked at bracket by bracket. Up to the
first byte that is no JSON the answer is exact, and a decoder stops at that byte: what passes here is safe to decode.
"""

from collections.abc import Iterator
from itertools import accumulate

import msgspec

_SHORT = 4_096  # bytes that are gone through faster than brackets are found in them one by one
_WINDOW = 65_536  # bytes at a time: a long text must not become a list of all its strings
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_NOT_OPENERS = bytes(set(range(256)) - set(b"[{"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_COLLAPSES = 5  # pairs of levels: more than a usual conversation has, tool calls and schemas included


class TooDeep(msgspec.DecodeError):
    """A text nests arrays and objects too deep."""


class TooManyNodes(msgspec.DecodeError):
    """A text has too many arrays, objects and members."""


def check_structure(text: bytes, *, max_depth: int, max_nodes: int | None = None) -> None:
    """Raises TooDeep when `text` nests deeper than `max_depth`, TooManyNodes when it has more than `max_nodes` arrays,
    objects and members. Most texts have too few brackets and bytes, strings included, to break either."""
    size = len(text)
    nodes_max = size if max_nodes is None else max_nodes  # a node takes a byte
    few = len(text.translate(None, _NOT_OPENERS)) <= max_depth if size <= _SHORT else _few_openers(text, max_depth)
    if few and (size <= nodes_max or text.count(b":") + max_depth <= nodes_max):
        return
    nodes = depth = 0
    for outside in _outside_strings(text):
        brackets = outside.translate(None, _NOT_BRACKETS)
        openers = brackets.count(b"{") + brackets.count(b"[")
        nodes += openers + outside.count(b":")
        if nodes > nodes_max:
            raise TooManyNodes(f"more than {nodes_max} arrays, objects and members")
        if _peak(brackets, depth, max_depth) > max_depth:
            raise TooDeep(f"arrays and objects are nested more than {max_depth} levels deep")
        depth += 2 * openers - len(brackets)


def _few_openers(text: bytes, most: int) -> bool:
    """At most `most` brackets open in `text`, in strings or not. `find` skips what lies between at memchr's speed."""
    count = 0
    for bracket in (b"{", b"["):
        at = text.find(bracket)
        while at >= 0:
            count += 1
            if count > most:
                return False
            at = text.find(bracket, at + 1)
    return True


def _peak(brackets: bytes, depth: int, enough: int) -> int:
    """The greatest depth that `brackets` reach from `depth`, or an upper bound of it that is not over `enough`."""
    left = brackets
    for collapsed in range(_COLLAPSES):
        bound = depth + 2 * collapsed + left.count(b"{") + left.count(b"[")
        if bound <= enough:
            return bound
        left = left.replace(b"{}", b"").replace(b"[]", b"")  # at most one level each
    return max(accumulate(map(_STEP.__getitem__, brackets), initial=depth))


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """What is left of `text` without its strings, a window at a time."""
    # Backslashes come in runs, and pairs from the left of a run are escaped ones: what then still stands before a
    # quote escapes it.
    if b"\\" in text:
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    inside = 0
    for start in range(0, len(text), _WINDOW):
        pieces = text[start : start + _WINDOW].split(b'"')
        yield b"".join(pieces[inside::2])
        inside ^= len(pieces) - 1 & 1
