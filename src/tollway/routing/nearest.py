"""Names near one that was not found: what a message suggests. Must not know what the names stand for."""

import difflib
import heapq
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise

SUGGESTIONS_MAX = 3
NAME_LENGTH_MAX = 120  # a longer name is no misspelling; comparing is quadratic in it
NAMES_SCANNED_MAX = 5_000  # a miss costs a caller nothing, so it must cost the router little
NAMES_COMPARED_MAX = 24  # those that share most pairs of letters; only they are compared closely


def nearest(name: str, names: Iterable[str]) -> tuple[str, ...]:
    """At most SUGGESTIONS_MAX of `names` that resemble `name`, the nearest first: those that are the same but for what
    stands before the last slash, and for capitals, then those that are spelled alike."""
    if len(name) > NAME_LENGTH_MAX:
        return ()
    scanned = tuple(islice(names, NAMES_SCANNED_MAX))
    same = [other for other in scanned if _end(other) == _end(name)]
    pairs = _pairs(name)
    short = heapq.nlargest(NAMES_COMPARED_MAX, scanned, key=lambda other: len(pairs & _pairs(other)))
    alike = difflib.get_close_matches(name, short, SUGGESTIONS_MAX)
    return tuple(dict.fromkeys((*same, *alike)))[:SUGGESTIONS_MAX]


def did_you_mean(near: Sequence[str]) -> str:
    """A sentence to append to a message, with a leading space; empty when there is nothing near."""
    return f" Did you mean {' or '.join(near)}?" if near else ""


def shown(name: str) -> str:
    """`name` as a message quotes it: escaped and cut, since a caller chose it."""
    return repr(name if len(name) <= NAME_LENGTH_MAX else name[:NAME_LENGTH_MAX] + "…")


def _end(name: str) -> str:
    return name.rpartition("/")[2].lower()


def _pairs(name: str) -> set[tuple[str, str]]:
    return set(pairwise(name))
