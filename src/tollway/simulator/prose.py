"""The simulator's own language: endless pseudo-prose, the same on every run, so that a test can tell what must come.

One token is one word and the space after it. Every few words one is not ASCII, so that splits inside a character
happen. Knows nothing of requests or HTTP."""

import re

_PAGE = (
    "the river carries small stones past old mills and quiet gardens while a heron waits under alder trees "
    "for fish that never hurry café rain makes every bridge shine naïve boats turn slowly toward the sea "
    "señor light falls on wet grass and crows argue about bread until evening 水 comes down from hills "
    "someone writes a letter – folds it twice and leaves it by the window where bees über roses hum all day"
)
_WORDS = tuple(_PAGE.split())
_SENTENCES = 64  # distinct ones before the text repeats; keeps answers varied and the table small


def _sentence(number: int) -> list[str]:
    length = 7 + number * 5 % 7
    words = [_WORDS[(number * 11 + place * (3 + number % 4)) % len(_WORDS)] for place in range(length)]
    words[0] = words[0].capitalize()
    words[-1] += "."
    return [word + " " for word in words]


TOKENS: tuple[str, ...] = tuple(token for number in range(_SENTENCES) for token in _sentence(number))

CHOICE_OFFSET = 17  # each further choice starts so many tokens later, so that mixed-up choices show
REASONING_OFFSET = 301  # and reasoning is never the same text as the answer


def expected_text(n: int, *, choice: int = 0) -> str:
    """The content of an answer of `n` tokens, as choice number `choice` gives it."""
    return _run(n, choice * CHOICE_OFFSET)


def expected_reasoning(n: int, *, choice: int = 0) -> str:
    """The reasoning_content of `n` reasoning tokens."""
    return _run(n, REASONING_OFFSET + choice * CHOICE_OFFSET)


def split_tokens(text: str) -> tuple[str, ...]:
    """A given text cut into tokens by the same rule: each word with the space after it."""
    return tuple(re.findall(r"\s*\S+\s*", text)) or ((text,) if text else ())


def _run(n: int, offset: int) -> str:
    return "".join(TOKENS[(place + offset) % len(TOKENS)] for place in range(n))
