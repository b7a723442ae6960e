"""`tollway provider`: takes providers out of service and back into it, with or without a running router."""

import asyncio
import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from tollway.cli.common import (
    DEFAULT_URL,
    CommandFailed,
    ConfigOption,
    JsonFlag,
    UrlOption,
    command,
    out,
    print_json,
    print_table,
)
from tollway.cli.tables import clock_time
from tollway.client.api import RouterClient
from tollway.client.errors import RouterUnreachable
from tollway.config.load import load_providers
from tollway.config.problems import one_of
from tollway.config.schema import Provider
from tollway.domain.commands import Disabled
from tollway.domain.errors import LedgerOutcomeUnknown
from tollway.ledger import operator

app = typer.Typer(
    help="Providers: list, disable, enable.", add_completion=False, no_args_is_help=True, rich_markup_mode=None
)

ProviderArgument = Annotated[str, typer.Argument(help="A provider's id.")]
# What GET /providers says of one and the configuration doesn't.
HEALTH = ("attempts", "uptime", "first_token_ms", "tokens_per_s", "breakers")


@app.command("list")
@command
def list_(url: UrlOption = DEFAULT_URL, config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """List providers with what they serve and how they have been doing, as the router at --url sees them.

    \b
    Example:
      tollway provider list
      tollway provider list --url http://127.0.0.1:8080 --json
    """
    ledger, configured = load_providers(config, os.environ)
    disabled = operator.disabled_providers(ledger)
    seen = _seen(url)
    rows = _rows(configured, disabled, seen or {})
    if as_json:
        print_json({"router": url if seen is not None else None, "data": rows})
        return
    print_table(
        ("provider", "status", "models", "uptime", "first token ms", "in trouble", "since (UTC)", "why"),
        [_cells(row) for row in rows],
        right=("uptime", "first token ms"),
    )
    if seen is None:
        typer.echo(f"no router answers at {url}: nothing is known of their health (--url names another)", err=True)


@app.command("disable")
@command
def disable(
    provider: ProviderArgument,
    why: Annotated[str | None, typer.Option("--why", help="For `provider list`; callers don't see it.")] = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Send a provider no new calls, from now on and until it is enabled. Calls it is answering go on to their end.

    \b
    Example:
      tollway provider disable openai --why "errors since noon"
    """
    ledger, configured = load_providers(config, os.environ)
    _known(provider, {one.id for one in configured})
    _tell(ledger, provider, disabled=True, why=why)
    if as_json:
        print_json({"provider": provider, "disabled": True, "why": why})
    else:
        out.print(f"{provider} is disabled: it gets no new calls until `tollway provider enable {provider}`")


@app.command("enable")
@command
def enable(provider: ProviderArgument, config: ConfigOption = None, as_json: JsonFlag = False) -> None:
    """Send a provider calls again.

    \b
    Example:
      tollway provider enable openai
    """
    ledger, configured = load_providers(config, os.environ)
    disabled = operator.disabled_providers(ledger)
    _known(provider, {one.id for one in configured} | disabled.keys())
    _tell(ledger, provider, disabled=False)
    if as_json:
        print_json({"provider": provider, "disabled": False})
    else:
        out.print(f"{provider} is enabled" if provider in disabled else f"{provider} was not disabled")


def _known(provider: str, ids: set[str]) -> None:
    if provider not in ids:
        raise CommandFailed(f"there is no provider {provider!r} in the configuration; {one_of(provider, ids)}")


def _tell(ledger: operator.Books, provider: str, *, disabled: bool, why: str | None = None) -> None:
    try:
        asyncio.run(operator.set_provider(ledger, provider, disabled=disabled, why=why))
    except LedgerOutcomeUnknown:
        raise CommandFailed("the router can't tell whether this is kept: run the same command again") from None


def _seen(url: str) -> dict[str, Any] | None:
    """What the router says of each; None when there is none."""
    try:
        with RouterClient(url) as router:
            return {one["id"]: one for one in router.get("/providers")["data"]}
    except RouterUnreachable:
        return None


def _rows(
    configured: tuple[Provider, ...], disabled: Mapping[str, Disabled], seen: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Those of the configuration, then those that only the router serves, or only the books know."""
    models = {one.id: [model.id for model in one.models] for one in configured}
    rows = []
    for name in dict.fromkeys((*models, *seen, *disabled)):
        off, found = disabled.get(name), seen.get(name, {})
        rows.append(
            {
                "id": name,
                "status": "disabled" if off is not None else found.get("status", "unknown"),
                "models": found.get("models", models.get(name, [])),
                **{known: found.get(known) for known in HEALTH},
                "disabled_since_ms": None if off is None else off.since_ms,
                "why": None if off is None else off.why,
            }
        )
    return rows


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    first_token, since = row["first_token_ms"], row["disabled_since_ms"]
    return (
        row["id"],
        row["status"],
        ", ".join(row["models"]),
        "" if row["uptime"] is None else f"{row['uptime']:.1%}",
        "" if first_token is None else f"{first_token['p50']:.0f}",
        _in_trouble(row["breakers"] or {}),
        "" if since is None else clock_time(since),
        row["why"] or "",
    )


def _in_trouble(breakers: Mapping[str, str]) -> str:
    """The models that are asked last at the moment, and those that are being tried again."""
    return ", ".join(f"{model} ({state.replace('_', ' ')})" for model, state in breakers.items() if state != "closed")
