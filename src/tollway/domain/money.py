"""Money as integers. The ledger counts nano-USD (1e-9 USD); a price is pico-USD (1e-12 USD) a token.

No float touches money: text is parsed digit by digit, sums are exact, and only a finished sum is rounded, up, once.
"""

import re

NANO_PER_USD = 1_000_000_000
NANO_PER_MICRO = 1_000
PICO_PER_NANO = 1_000
BASIS_POINTS = 10_000

# 64-bit signed counters hold 9.2e18 nano-USD; no single amount may come near it.
AMOUNT_NANO_MAX = 10**17  # 100 million USD

SHOWN_CHARS_MAX = 40  # of a text that is no amount: more than the longest one has

_DECIMAL = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,18}))?\Z")


def _scaled(text: str, digits: int) -> int:
    """The decimal `text` times 10**digits, exactly. ValueError when it is no plain decimal or has more digits."""
    match = _DECIMAL.match(text)
    if match is None:
        raise ValueError(f"{text[:SHOWN_CHARS_MAX]!r} is not a decimal amount such as 2.50")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > digits:
        raise ValueError(f"{text!r} has more than {digits} decimals")
    scaled: int = int(whole + fraction.ljust(digits, "0"))
    return scaled


def parse_usd(text: str) -> int:
    """A USD amount such as "12.5" in nano-USD. ValueError for signs, exponents, over 9 decimals or over the maximum."""
    nano = _scaled(text, 9)
    if nano > AMOUNT_NANO_MAX:
        raise ValueError(f"{text!r} is over the largest amount, {format_usd(AMOUNT_NANO_MAX)} USD")
    return nano


def parse_rate(text: str) -> int:
    """A price in USD per million tokens, such as "2.50", in pico-USD per token. ValueError beyond 6 decimals."""
    return _scaled(text, 6)


def format_usd(nano: int) -> str:
    """Nano-USD as a plain decimal string with at least two decimals: 1_500_000 -> "0.0015", 0 -> "0.00"."""
    if nano < 0:
        return f"-{format_usd(-nano)}"
    digits = str(nano).zfill(10)  # nine of them stand behind the point
    return f"{digits[:-9]}.{digits[-9:-7]}{digits[-7:].rstrip('0')}"
