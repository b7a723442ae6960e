"""How deep and how large a JSON text is, before anything is built from it.

Strings are cut out at the speed of `bytes.split`, and what is left is seldom looked at bracket by bracket. Up to the
first byte that is no JSON the answer is exact, and a decoder stops at that byte: what passes here is safe to decode.
"""

from collections.abc import Iterator
from itertools import accumulate

from tollway.domain.errors import RequestError

_WINDOW = 65_536  # bytes at a time: a long text must not become a list of all its strings
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_COLLAPSES = 5  # pairs of levels: more than a usual conversation has, tool calls and schemas included


def check_structure(body: bytes, *, max_depth: int, max_nodes: int) -> None:
    """RequestError when `body` nests deeper than `max_depth`, or has more than `max_nodes` arrays, objects and
    members. Most bodies have too few brackets and bytes, strings included, to break either."""
    if _few_openers(body, max_depth) and (len(body) <= max_nodes or body.count(b":") + max_depth <= max_nodes):
        return
    nodes = depth = 0
    for outside in _outside_strings(body):
        brackets = outside.translate(None, _NOT_BRACKETS)
        openers = brackets.count(b"{") + brackets.count(b"[")
        nodes += openers + outside.count(b":")
        if nodes > max_nodes:
            raise RequestError(f"The body has more than {max_nodes} arrays, objects and members: send less at once.")
        if _peak(brackets, depth, max_depth) > max_depth:
            raise too_deep(max_depth)
        depth += 2 * openers - len(brackets)


def too_deep(max_depth: int) -> RequestError:
    return RequestError(f"The body is nested too deep: at most {max_depth} levels of arrays and objects are accepted.")


def _few_openers(body: bytes, most: int) -> bool:
    """At most `most` brackets open in `body`, in strings or not. `find` skips what lies between at memchr's speed."""
    count = 0
    for bracket in (b"{", b"["):
        at = body.find(bracket)
        while at >= 0:
            count += 1
            if count > most:
                return False
            at = body.find(bracket, at + 1)
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


def _outside_strings(body: bytes) -> Iterator[bytes]:
    """What is left of `body` without its strings, a window at a time."""
    # Backslashes come in runs, and pairs from the left of a run are escaped ones: what then still stands before a
    # quote escapes it.
    text = body.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in body else body
    inside = 0
    for start in range(0, len(text), _WINDOW):
        pieces = text[start : start + _WINDOW].split(b'"')
        yield b"".join(pieces[inside::2])
        inside ^= len(pieces) - 1 & 1
