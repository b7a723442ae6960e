"""The operator's configuration: read from TOML and the environment, checked whole, handed on as finished values.

It knows nothing of what is built from it; the values it holds are immutable, and secrets don't print themselves.
"""

from tollway.config.load import load, load_ledger, load_price_book, loads
from tollway.config.places import Address, LedgerUrl
from tollway.config.problems import ConfigError, Problem
from tollway.config.schema import Auth, Billing, Config, Ledger, Model, Ops, Provider, Server
from tollway.config.secret import Secret

__all__ = [
    "Address",
    "Auth",
    "Billing",
    "Config",
    "ConfigError",
    "Ledger",
    "LedgerUrl",
    "Model",
    "Ops",
    "Problem",
    "Provider",
    "Secret",
    "Server",
    "load",
    "load_ledger",
    "load_price_book",
    "loads",
]
