"""The `provider` object of a request, with OpenRouter's names: who may serve it, and in which order. Must not know
which providers there are.
"""

import re
from typing import Any

import msgspec

from tollway.domain.call import MaxPrice, Percentiles, Preferences
from tollway.domain.errors import RequestError
from tollway.intake.limits import PROVIDERS_MAX
from tollway.intake.schema import NULL, PREFERENCES, Figures, read_value, shown
from tollway.wire.json import Raw

# A number or a string. No more digits than Decimal's 28 keeps exact, and no exponent that would make a huge number.
_AMOUNT = re.compile(rb'("?)([0-9]{1,12}(?:\.[0-9]{1,16})?(?:[eE][+-]?[0-9]{1,2})?)\1\Z')


def preferences(fields: dict[str, Raw]) -> Preferences:
    """A preference that isn't served is refused: to ignore it in silence would be to lie."""
    values: dict[str, Any] = {}
    for key, raw in fields.items():
        name = f"provider.{key}"
        if key not in PREFERENCES:
            raise RequestError(f"{name} is not served here; {', '.join(PREFERENCES)} are.", param=name)
        if raw == NULL:
            continue
        value = read_value(name, PREFERENCES[key], raw)
        if isinstance(value, list):
            if len(value) > PROVIDERS_MAX:
                raise RequestError(f"{name} has {len(value)} entries; at most {PROVIDERS_MAX} are read.", param=name)
            value = tuple(value)
        elif key == "max_price":
            value = _max_price(value)
        elif isinstance(value, Figures):
            value = Percentiles(**msgspec.structs.asdict(value))
        elif isinstance(value, float):
            value = Percentiles(p50=value)  # OpenRouter: a bare number is the median's
        values[key] = value
    return Preferences(**values)


def _max_price(fields: dict[str, Raw]) -> MaxPrice:
    """Taken from the text of each number: money never touches a float."""
    prices: dict[str, str] = {}
    for key, raw in fields.items():
        name = f"provider.max_price.{key}"
        if key not in MaxPrice.__struct_fields__:
            served = ", ".join(MaxPrice.__struct_fields__)
            raise RequestError(f"{name} is not served here; {served} are, each in USD.", param=name)
        if raw == NULL:
            continue
        match = _AMOUNT.match(bytes(raw))
        if match is None:
            raise RequestError(
                f'{name} is {shown(raw)}; it must be an amount in USD such as 2.50 or "2.50".', param=name
            )
        prices[key] = match[2].decode()
    return MaxPrice(**prices)
