"""Rules that join several keys: each mistake is reported at the key that would be changed to mend it.

Must not know how values are written. Nothing is checked against a value that is itself wrong.
"""

from collections.abc import Mapping
from pathlib import Path

from msgspec.structs import replace

from tollway.config.places import LedgerUrl, is_loopback, local_url, url
from tollway.config.problems import shown
from tollway.config.read import Spot, valid
from tollway.config.schema import Cluster, Config, Ledger, Model, Provider, Server
from tollway.config.secret import Secret, from_environment, from_file
from tollway.domain.money import format_usd

DATABASE_PASSWORD = "the database's password"  # noqa: S105  # what it is, for messages
VALKEY_PASSWORD = "Valkey's password"  # noqa: S105  # the same


def check(config: Config, at: Spot) -> None:
    """Report everything that is wrong between keys."""
    if not config.providers and at.reading.sound("providers"):
        (at / "providers").missing("is missing: write at least one [[providers]]")
    _check_public(config, at / "server")
    _check_bodies(config.server, at / "server")
    _check_billing(config, at / "billing")
    _check_receipts(config, at / "receipts")
    names = _Names()
    for index, provider in valid(config.providers):
        _check_provider(provider, at / "providers" / index, names)
    for index, provider in valid(config.providers):
        _check_aliases(provider, at / "providers" / index, names)


def api_key(provider: Provider, at: Spot, environ: Mapping[str, str], base_dir: Path) -> Secret | None:
    """The provider's key, from where the configuration says; None for a provider without one."""
    try:
        if provider.api_key_env is not None:
            at = at / "api_key_env"
            return from_environment(provider.api_key_env, environ)
        if provider.api_key_file is not None:
            at = at / "api_key_file"
            return from_file(base_dir / provider.api_key_file)
    except ValueError as error:
        at.missing(str(error))
    return None


def valkey_password(cluster: Cluster, at: Spot, environ: Mapping[str, str], base_dir: Path) -> Secret | None:
    """Valkey's password, from where the configuration says; None for a Valkey without one."""
    variable, file = cluster.password_env, cluster.password_file
    at = at / ("password_file" if variable is None else "password_env")
    if variable is not None and file is not None:
        at.missing("stands beside password_file: keep one of the two")
        return None
    if cluster.url is None and (variable or file) and at.reading.sound("cluster", "url"):
        at.missing("names a password, and cluster.url no Valkey: write where it is")
        return None
    try:
        if variable is not None:
            return from_environment(variable, environ, VALKEY_PASSWORD)
        if file is not None:
            return from_file(base_dir / file, VALKEY_PASSWORD)
    except ValueError as error:
        at.missing(str(error))
    return None


def _check_receipts(config: Config, at: Spot) -> None:
    if config.receipts.key in config.receipts.withdrawn:
        (at / "withdrawn").missing("has the key that signs: raise receipts.key above it")


def ledger_place(ledger: Ledger, at: Spot, environ: Mapping[str, str], base_dir: Path) -> LedgerUrl:
    """Where the books are, with the folder and the password that the configuration leaves to be found."""
    url = ledger.url
    if ledger.password_env is not None and ledger.password_file is not None:
        (at / "password_file").missing("stands beside password_env: keep one of the two")
    elif url.store != "postgresql":
        for name in ("password_env", "password_file"):
            if getattr(ledger, name) is not None:
                (at / name).missing("is for a ledger on PostgreSQL: leave it out")
    try:
        if ledger.password_env is not None:
            at = at / "password_env"
            return replace(url, password=from_environment(ledger.password_env, environ, DATABASE_PASSWORD))
        if ledger.password_file is not None:
            at = at / "password_file"
            return replace(url, password=from_file(base_dir / ledger.password_file, DATABASE_PASSWORD))
    except ValueError as error:
        at.missing(str(error))
    return url if url.path is None else replace(url, path=base_dir / url.path)


class _Names:
    """What every name stands for, over all providers."""

    def __init__(self) -> None:
        self.providers: set[str] = set()
        self.ids: set[str] = set()
        self.aliases: dict[str, str] = {}
        self.pins: dict[str, str] = {}  # provider:name -> the provider


def _check_bodies(server: Server, at: Spot) -> None:
    sound = at.reading.sound
    if sound("server", "max_body") and sound("server", "max_bodies") and server.max_bodies < server.max_body:
        (at / "max_bodies").missing("is less than server.max_body, the largest single one: raise it, or lower that")


def _check_public(config: Config, at: Spot) -> None:
    server, sound = config.server, at.reading.sound
    if server.insecure or server.listen.loopback:
        return
    if not (sound("server", "public_url") and sound("server", "insecure")):
        return
    public = url(server.public_url or local_url(server.listen, tls=server.tls_cert is not None))
    if public.scheme == "https" and not is_loopback(public.host):
        return
    what = "is loopback" if is_loopback(public.host) else "is plain http"
    (at / "public_url").wrong(
        str(public),
        f"{what} while server.listen is public ({server.listen}): set the https URL that clients use, "
        "or server.insecure = true",
    )


def _check_billing(config: Config, at: Spot) -> None:
    billing, sound = config.billing, at.reading.sound
    if billing.mode == "metered" and "*" in config.auth.accounts and sound("auth", "accounts"):
        (at / "mode").wrong("metered", "needs an allow list: write the accounts that may call into auth.accounts")
    if billing.welcome_credit_usd > billing.welcome_credit_total_usd and sound("billing"):
        least = format_usd(billing.welcome_credit_usd)
        (at / "welcome_credit_total_usd").missing(
            f"write the most that may ever be given away, at least one welcome credit ({least})"
        )


def _check_provider(provider: Provider, at: Spot, names: _Names) -> None:
    """Ids and what they carry; fills `names`."""
    if provider.id in names.providers:
        (at / "id").wrong(provider.id, "is another provider's id: each needs its own")
    names.providers.add(provider.id)
    _check_sent(provider, at)
    own: set[str] = set()
    for index, model in valid(provider.models):
        spot = at / "models" / index
        if model.id in own:
            (spot / "id").wrong(model.id, "is served twice by this provider: keep one")
        if 0 < model.context_length < model.max_output_tokens:
            (spot / "max_output_tokens").wrong(model.max_output_tokens, "is over context_length, which includes it")
        for place, word in valid(model.unsupported):
            if word in model.supports:
                (spot / "unsupported" / place).wrong(word, "stands in supports too: keep it in one of the two")
        own.add(model.id)
        names.ids.add(model.id)
        for name in (model.id, upstream(model), *(alias for _, alias in valid(model.aliases))):
            names.pins[f"{provider.id}:{name}"] = provider.id


def _check_sent(provider: Provider, at: Spot) -> None:
    """What a request carries, said once."""
    if provider.api_key_env is not None and provider.api_key_file is not None:
        (at / "api_key_file").missing("stands beside api_key_env: keep one of the two")
    if provider.auth_header in provider.headers:
        (at / "headers" / str(provider.auth_header)).missing("is the header that carries the key: leave it out")
    if {"max_tokens", "max_completion_tokens"} <= set(provider.quirks):
        (at / "quirks").missing("has max_tokens and max_completion_tokens: the output limit has one name, keep one")


def _check_aliases(provider: Provider, at: Spot, names: _Names) -> None:
    """A name must stand for one thing, wherever it is asked for."""
    for index, model in valid(provider.models):
        spot = at / "models" / index
        if model.id in names.pins:
            (spot / "id").wrong(model.id, _pinned(names.pins[model.id]))
        for place, alias in valid(model.aliases):
            if alias in names.ids:
                (spot / "aliases" / place).wrong(alias, "is the id of a model: an alias must be a new name")
            elif names.aliases.setdefault(alias, model.id) != model.id:
                other = shown(names.aliases[alias])
                (spot / "aliases" / place).wrong(alias, f"is an alias of {other} already: it can stand for one model")
            elif alias in names.pins:
                (spot / "aliases" / place).wrong(alias, _pinned(names.pins[alias]))


def upstream(model: Model) -> str:
    """The provider's name for a model: as written, else what follows the first slash of its id."""
    return model.upstream or model.id.partition("/")[2] or model.id


def _pinned(provider: str) -> str:
    return f"also means a model of the provider {provider}, as provider:model does: choose another name"
