"""The dialects there are: one file a pair of APIs, `<client>_<backend>.py`, and its row here.

`provider.dialect` names a row. Nothing else in the router knows which of them a provider is asked in.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from tollway.domain.clock import Clock
from tollway.domain.quirks import DialectName
from tollway.upstream.dialect import Dialect
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI
from tollway.upstream.endpoint import Endpoint


class Spoken(NamedTuple):
    """`lacks` and `one_choice` are what the provider's API has no words for, whoever serves it: routing treats each of
    its models as if the configuration said so."""

    make: Callable[[Endpoint, Clock], Dialect]
    lacks: frozenset[str] = frozenset()  # capabilities and request fields, in the words of domain/parameters.py
    one_choice: bool = False  # it has no `n`


DIALECTS: Mapping[DialectName, Spoken] = MappingProxyType({"openai": Spoken(OpenAIOpenAI)})
