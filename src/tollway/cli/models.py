"""`tollway models`: what a router serves, and for how much."""

from decimal import Decimal
from typing import Any

from tollway.cli.common import DEFAULT_URL, JsonFlag, UrlOption, command, print_json, print_table
from tollway.client.api import RouterClient


@command
def models(url: UrlOption = DEFAULT_URL, as_json: JsonFlag = False) -> None:
    """List models with their prices in USD per million tokens.

    \b
    Example:
      tollway models
      tollway models --url https://router.example.com --json
    """
    with RouterClient(url) as router:
        listed = router.get("/models")
    if as_json:
        print_json(listed)
        return
    print_table(
        ("model", "input", "output", "context", "providers"),
        [price_row(model) for model in listed["data"]],
        right=("input", "output", "context"),
        whole=("model",),
    )


def price_row(model: dict[str, Any]) -> tuple[str, str, str, str, str]:
    """A model as GET /models has it: its id, USD per million tokens in and out, context, providers."""
    return (
        model["id"],
        _per_million(model["pricing"]["input"]),
        _per_million(model["pricing"]["output"]),
        str(model["context_length"]),
        ", ".join(provider["id"] for provider in model["providers"]),
    )


def _per_million(usd_per_token: str) -> str:
    return f"{Decimal(usd_per_token) * 1_000_000:.10f}".rstrip("0").rstrip(".")
