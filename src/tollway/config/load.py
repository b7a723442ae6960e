"""From a file and the environment to one finished Config, or to a ConfigError with every mistake.

The only part of the configuration that reads files; it builds nothing from what it reads.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from tollway.config import files
from tollway.config.checks import api_key, check, ledger_place, upstream, valkey_password
from tollway.config.environment import near_misses, overlay, overrides
from tollway.config.places import LedgerUrl, local_url, url
from tollway.config.presets import PRESETS
from tollway.config.problems import ConfigError, Problem
from tollway.config.problems import Path as KeyPath
from tollway.config.proxies import proxies
from tollway.config.read import Reading, Spot, Table, valid
from tollway.config.schema import CONFIG, Config, Model, Provider
from tollway.config.tls import from_files

DEFAULT_FILE = Path("tollway.toml")
CONFIG_BYTES_MAX = 4 * 1024 * 1024  # ten thousand models; a larger file is not a configuration

_SINGLE_KEYS: tuple[KeyPath, ...] = tuple(
    (section, key) for section, reader in CONFIG.readers.items() if isinstance(reader, Table) for key in reader.readers
)


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration in `path`; without one in $TOLLWAY_CONFIG, else ./tollway.toml, else the environment alone.

    Raises ConfigError."""
    text, base_dir = _source(path, environ)
    return loads(text, environ, base_dir)


def load_ledger(path: Path | None, environ: Mapping[str, str]) -> LedgerUrl:
    """Where the books are, for commands that need no more: only mistakes about the ledger stop them, not a provider's
    key that this shell doesn't have. Raises ConfigError."""
    config, base_dir = _about(("ledger", "TOLLWAY_LEDGER"), path, environ)
    return _ledger_place(config, environ, base_dir)


def load_providers(path: Path | None, environ: Mapping[str, str]) -> tuple[LedgerUrl, tuple[Provider, ...]]:
    """Where the books are, and the providers as they are written: no key is looked for. Only mistakes about these two
    count. Raises ConfigError."""
    keys = ("ledger", "TOLLWAY_LEDGER", "providers", "TOLLWAY_PROVIDERS")
    config, base_dir = _about(keys, path, environ)
    return _ledger_place(config, environ, base_dir), config.providers


def load_price_book(path: Path | None, environ: Mapping[str, str]) -> tuple[Path | None, Path]:
    """The operator's price book, where the configuration names one, and the configuration's folder: the current one
    where there is no configuration at all. Only mistakes about billing count. Raises ConfigError."""
    if path is None and not environ.get("TOLLWAY_CONFIG") and not DEFAULT_FILE.exists():
        return None, Path()
    config, base_dir = _about(("billing", "TOLLWAY_BILLING"), path, environ)
    named = config.billing.price_book
    return None if named is None else base_dir / named, base_dir


def load_recount_threshold(path: Path | None, environ: Mapping[str, str]) -> int:
    """How far a provider's count of tokens may be off ours, in basis points. Only mistakes about billing count. Raises
    ConfigError."""
    config, _ = _about(("billing", "TOLLWAY_BILLING"), path, environ)
    return config.billing.recount_threshold


def loads(text: str, environ: Mapping[str, str], base_dir: Path) -> Config:
    """The configuration in `text` (TOML); relative paths are relative to `base_dir`. Raises ConfigError."""
    config, tree, reading = _read(text, environ)
    at = Spot(reading)
    check(config, at)
    keys = {
        index: api_key(provider, at / "providers" / index, environ, base_dir)
        for index, provider in valid(config.providers)
    }
    password = valkey_password(config.cluster, at / "cluster", environ, base_dir)
    context = from_files(config.server, at / "server", environ, base_dir)
    ledger = replace(config.ledger, url=ledger_place(config.ledger, at / "ledger", environ, base_dir))
    ways = proxies(environ, reading)
    reading.check()
    public_url = config.server.public_url or local_url(config.server.listen, tls=context is not None)
    server = replace(config.server, public_url=public_url, tls=context)
    return replace(
        config,
        server=server,
        auth=replace(config.auth, domains=config.auth.domains or (url(server.public_url).authority,)),
        ledger=ledger,
        cluster=replace(config.cluster, password=password),
        proxies=ways,
        billing=replace(config.billing, price_book=_beside(base_dir, config.billing.price_book)),
        providers=tuple(
            replace(provider, api_key=keys[index], models=_models(provider, tree["providers"][index]["models"]))
            for index, provider in enumerate(config.providers)
        ),
    )


def configuration_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Which file is read, whether or not it is there; None when the environment alone is the configuration."""
    if path is None and environ.get("TOLLWAY_CONFIG"):
        path = Path(environ["TOLLWAY_CONFIG"])
    if path is None and not DEFAULT_FILE.exists() and overrides(environ, CONFIG.readers):
        return None
    return path or DEFAULT_FILE


def _about(keys: tuple[str, ...], path: Path | None, environ: Mapping[str, str]) -> tuple[Config, Path]:
    """A configuration of which only what stands under `keys` needs to be right, and its folder."""
    text, base_dir = _source(path, environ)
    config, _, reading = _read(text, environ)
    problems = tuple(problem for problem in reading.problems if problem.key.startswith(keys))
    if problems:
        raise ConfigError(problems)
    return config, base_dir


def _source(path: Path | None, environ: Mapping[str, str]) -> tuple[str, Path]:
    """The text of the configuration, and the folder that its paths are relative to."""
    path = configuration_file(path, environ)
    if path is None:
        return "", Path()
    try:
        data = files.read(path, CONFIG_BYTES_MAX)
    except FileNotFoundError:
        raise _unreadable(
            f"no configuration at {str(path)!r}: run `tollway init` to write one, or name yours with --config"
        ) from None
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "not a file name"
        raise _unreadable(f"the configuration {str(path)!r} can't be read ({reason})") from error
    if len(data) > CONFIG_BYTES_MAX:
        raise _unreadable(f"the configuration {str(path)!r} is over {CONFIG_BYTES_MAX} bytes")
    try:
        return data.decode("utf-8-sig"), path.parent
    except UnicodeDecodeError as error:
        raise _unreadable(f"the configuration {str(path)!r} is not UTF-8 (at byte {error.start})") from error


def _read(text: str, environ: Mapping[str, str]) -> tuple[Config, dict[str, Any], Reading]:
    """What is written and can be read by itself, with the tree it was read from and what is wrong in it."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _unreadable(f"the configuration is not TOML: {error}") from error
    except (ValueError, RecursionError) as error:
        raise _unreadable("the configuration is not usable TOML: a number too long, or arrays too deep") from error
    reading = Reading()
    overlay(tree, environ, overrides(environ, CONFIG.readers), reading)
    near_misses(environ, _SINGLE_KEYS, reading)
    _lay_presets_under(tree, environ)
    config: Config = CONFIG.read(tree, Spot(reading))
    return config, tree, reading


def _lay_presets_under(tree: dict[str, Any], environ: Mapping[str, str]) -> None:
    """Fill into each provider what its preset says and it doesn't, in place. What can't be read is left to be found."""
    listed = tree.get("providers")
    for written in listed if isinstance(listed, list) else ():
        name = written.get("preset") if isinstance(written, dict) else None
        preset = PRESETS.get(name) if isinstance(name, str) else None
        if preset is not None:
            known = preset.written(environ)
            if "api_key_file" in written:
                known.pop("api_key_env", None)
            written |= known | written


def _models(provider: Provider, written: list[dict[str, Any]]) -> tuple[Model, ...]:
    """The provider's models with everything filled in that follows from elsewhere."""
    return tuple(
        replace(
            model,
            upstream=upstream(model),
            max_output_tokens=model.max_output_tokens or model.context_length,
            unsupported=_refused(provider, model),
            timeouts=replace(
                provider.timeouts, **{name: getattr(model.timeouts, name) for name in table.get("timeouts", ())}
            ),
        )
        for model, table in zip(provider.models, written, strict=True)
    )


def _refused(provider: Provider, model: Model) -> tuple[str, ...]:
    """What a model doesn't take: its own word counts, then its provider's."""
    more = (word for word in provider.unsupported if word not in (*model.unsupported, *model.supports))
    return (*model.unsupported, *more)


def _ledger_place(config: Config, environ: Mapping[str, str], base_dir: Path) -> LedgerUrl:
    reading = Reading()
    url = ledger_place(config.ledger, Spot(reading) / "ledger", environ, base_dir)
    reading.check()
    return url


def _beside(base_dir: Path, name: str | None) -> str | None:
    return None if name is None else str(base_dir / name)


def _unreadable(message: str) -> ConfigError:
    return ConfigError((Problem(key="", expected=message),))
