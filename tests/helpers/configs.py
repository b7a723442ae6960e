"""Configurations as text, and what the loader says of them."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tollway.config import Config, ConfigError, Problem, loads

BASE = Path("/etc/tollway")

MODEL = """
[[providers.models]]
id = "openai/gpt-4o"
price = { input = "2.50", output = "10.00" }
context_length = 128000
"""

PROVIDER = f"""
[[providers]]
id = "openai"
base_url = "https://api.openai.com/v1"
{MODEL}
"""


def read(text: str, environ: Mapping[str, str] | None = None, *, base: Path = BASE) -> Config:
    return loads(text, environ or {}, base)


def refusals(text: str, environ: Mapping[str, str] | None = None, *, base: Path = BASE) -> tuple[Problem, ...]:
    """Every mistake that is found in `text`; a configuration without one fails the test."""
    with pytest.raises(ConfigError) as caught:
        loads(text, environ or {}, base)
    return caught.value.problems


def refusal(text: str, environ: Mapping[str, str] | None = None, *, base: Path = BASE) -> Problem:
    """The only mistake in `text`."""
    problems = refusals(text, environ, base=base)
    assert len(problems) == 1, problems
    return problems[0]
