"""The configuration as commands ask for it. Apart from what every command loads: a client needs none."""

import os
from pathlib import Path

from tollway.config.load import load, load_ledger, load_recount_threshold
from tollway.config.places import LedgerUrl
from tollway.config.schema import Config


def configuration(path: Path | None, **overrides: str) -> Config:
    """The file and the environment; `overrides` are further variables of it. Raises ConfigError."""
    return load(path, {**os.environ, **overrides})


def ledger_url(path: Path | None) -> LedgerUrl:
    """Where the books are. Raises ConfigError."""
    return load_ledger(path, os.environ)


def recount_threshold(path: Path | None) -> int:
    """How far a provider's count may be off ours, in basis points. Raises ConfigError."""
    return load_recount_threshold(path, os.environ)
