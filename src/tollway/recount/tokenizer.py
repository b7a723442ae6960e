"""Our own tokenizer: the optional extra `tokens` (splintr). Counts text, and must not know whose it is.

Theory. splintr counts a text in one go and holds the interpreter's lock until it is done: a million bytes of one
unbroken word take 0.3 s, in whichever thread, and nobody else runs meanwhile. So a text is cut where no token can span
the cut: before a blank between two letters, where every vocabulary that the table names splits first. Where there is
none (Chinese, base64) it is cut anyway, at the cost of a token or so for each 8,192 characters. Between two parts
others may run.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType

Count = Callable[[str], int]

PIECE_CHARS_MAX = 8192  # of the slowest kind of text 3 ms
# The first word that is no token makes splintr build what it joins tokens by: 0.2 s, at the start and not later.
_WARM_UP = "zq" * 128
_CUT_WITHIN = 256  # a blank between two letters is looked for so far back


class NoTokenizer(Exception):
    """The extra isn't installed."""


class Tokenizers:
    """Counters by vocabulary. What is not `prepare`d is unknown: loading takes up to a third of a second."""

    def __init__(self, load: Callable[[str], Count] | None = None) -> None:
        self._load = load or load_vocabulary
        self._counts: MappingProxyType[str, Count] = MappingProxyType({})

    def prepare(self, vocabularies: Iterable[str]) -> None:
        """Load what is wanted and forget the rest. Raises NoTokenizer."""
        wanted = {name: self._counts.get(name) or self._load(name) for name in sorted(set(vocabularies))}
        self._counts = MappingProxyType(wanted)

    def __contains__(self, vocabulary: str) -> bool:
        return vocabulary in self._counts

    def count(self, vocabulary: str, pieces: Iterable[str]) -> int:
        """The tokens of texts that no token spans. KeyError for a vocabulary that isn't prepared."""
        count = self._counts[vocabulary]
        tokens = 0
        for piece in pieces:
            for part in cut(piece):
                tokens += count(part)
                time.sleep(
                    0
                )  # lets go of the interpreter's lock, which else is kept for 5 ms after somebody asks for it
        return tokens


def load_vocabulary(name: str) -> Count:
    """Raises NoTokenizer; ValueError for a name that the tokenizer doesn't know."""
    try:
        import splintr
    except ImportError as error:
        raise NoTokenizer("the extra is not installed: pip install 'tollway[tokens]'") from error
    encode = splintr.Tokenizer.from_pretrained(name).encode_ordinary
    encode(_WARM_UP)
    return lambda text: len(encode(text))


def cut(text: str) -> Iterator[str]:
    """Parts of at most PIECE_CHARS_MAX characters."""
    start = 0
    while len(text) - start > PIECE_CHARS_MAX:
        end = _cut_before(text, start + PIECE_CHARS_MAX)
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def _cut_before(text: str, end: int) -> int:
    for place in range(end, end - _CUT_WITHIN, -1):
        if text[place] == " " and text[place - 1].isalpha() and text[place + 1 : place + 2].isalpha():
            return place
    return end
