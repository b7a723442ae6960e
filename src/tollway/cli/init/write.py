"""The configuration as text, with a comment for whatever an operator may want to change, and as a file.

What is written loads as it stands; `check` says so before a file is touched.
"""

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import msgspec

from tollway.cli.common import SIMULATED_AT, CommandFailed
from tollway.cli.init.choose import Chosen
from tollway.cli.init.found import Found
from tollway.config.load import loads
from tollway.config.places import Address
from tollway.metering.price_list import price_list
from tollway.wire import json

PICO_PER_MTOK = 10**6
COMMENT_COLUMN = 28
FILE_MODE = 0o644  # nothing in it is secret

HEAD = """\
# Tollway's configuration, written by `tollway init`. Every key: docs/configuration.md.
# What is commented out shows its default. Keys of providers never stand here: they are in the environment.

[server]
{listen}# "0.0.0.0:8080" where a proxy on another machine passes calls on
{public_url}# what callers type, and sign in to; https as soon as others can reach it
# max_calls = 2000          # at once
# cors_origins = []         # web pages that may call: ["https://app.example.com"]

[auth]
# accounts = ["*"]          # or the wallets that may call
# max_lifetime = "1h"       # of a sign-in

[ledger]
url = "sqlite:///tollway.db" # the books, beside this file: back it up

[ops]
{ops}# /metrics, /healthz and /readyz, for you alone

[billing]
# mode = "prepaid"          # "metered" counts and never refuses
# markup = "0%"             # on what a provider charges
# welcome_credit_usd = "0"  # for each new wallet; with it, say the most that is ever given away:
# welcome_credit_total_usd = "0"
"""

SIMULATION = f"""
# The simulated provider, which needs no key and costs nothing: start it with `tollway simulate`.
[[providers]]
id = "simulator"
base_url = "http://{SIMULATED_AT}/v1"

[[providers.models]]
id = "simulator/sim"
price = {{ input = "2.50", output = "10.00" }} # USD per million tokens
context_length = 128000
max_output_tokens = 4096
"""

SIMULATOR = "simulator"
SIMULATED = "simulator/sim"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is written: each provider with its models, and the simulated one."""

    listen: Address
    ops: Address
    public_url: str
    providers: tuple[tuple[Found, tuple[Chosen, ...]], ...]
    simulator: bool


def text(plan: Plan) -> str:
    head = HEAD.format(
        listen=_padded("listen", str(plan.listen)),
        public_url=_padded("public_url", plan.public_url),
        ops=_padded("listen", str(plan.ops)),
    )
    parts = [_provider(found, models) for found, models in plan.providers]
    return "".join((head, *parts, SIMULATION if plan.simulator else ""))


def check(written: str, plan: Plan, folder: Path) -> None:
    """Raises ConfigError when it would not load: with its keys set, as far as they are not."""
    keys = {name: "set" for found, _ in plan.providers for name in found.preset.keys}
    price_list(loads(written, keys, folder))


def save(path: Path, written: str, *, force: bool) -> None:
    """Whole or not at all; over another file only with `force`. Raises CommandFailed and OSError."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(written)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(FILE_MODE)
        if force:
            new.replace(path)
        else:
            os.link(new, path)  # fails where there is a file already, whoever made it meanwhile
    except FileExistsError:
        raise CommandFailed(exists(path)) from None
    finally:
        with suppress(FileNotFoundError):
            new.unlink()


def exists(path: Path) -> str:
    return f"{path} is there already: name another file with --out, or write over it with --force"


def quoted(value: str) -> str:
    """As TOML writes text; JSON writes it the same."""
    return json.encode(value).decode()


def _padded(key: str, value: str) -> str:
    """A key before its comment, in line with those around it."""
    return f"{key} = {quoted(value)} ".ljust(COMMENT_COLUMN)


def _provider(found: Found, models: Sequence[Chosen]) -> str:
    preset = found.preset
    lines = ["", f"# {preset.name}. {_key(found)}"]
    if preset.note:
        lines.append(f"# {preset.note}")
    lines += ["[[providers]]", f"preset = {quoted(preset.id)}"]
    if found.base_url is not None:
        lines.append(f"base_url = {quoted(found.base_url)}")
    for model in models:
        lines += ["", "[[providers.models]]", f"id = {quoted(model.id)}"]
        if model.id.partition("/")[2] != model.upstream:
            lines.append(f"upstream = {quoted(model.upstream)} # the provider's own name for it")
        lines.append(_price(model))
        if model.context_length is not None:
            sure = "" if model.sure else " # not known: write what the server was started with, or the provider says"
            lines.append(f"context_length = {model.context_length}{sure}")
    return "\n".join(lines) + "\n"


def _key(found: Found) -> str:
    if found.key is not None:
        return f"Its key is read from {found.key}."
    if found.preset.local:
        return "A server of your own, which needs no key."
    return f"Its key is read from {found.preset.keys[0]}; make one at {found.preset.key_url}"


def _price(model: Chosen) -> str:
    if model.row is None:
        return 'price = { input = "0", output = "0" } # free is written, never assumed; sell = { ... } charges callers'
    rates = model.row.rates
    figures = " and ".join(f"{Decimal(rate) / PICO_PER_MTOK:f}" for rate in (rates.input, rates.output))
    known = "Price and size are" if model.context_length is None else "The price is"
    return f"# {known} the price book's: {figures} USD per million tokens in and out ({model.row.origin})."
