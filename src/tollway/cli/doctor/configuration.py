"""The configuration and its files: what the loader has to say, where each key is from, and who else may read it.

Never shows a key: only where it was looked for.
"""

import stat
from collections.abc import Mapping
from pathlib import Path

from tollway.cli.doctor.finding import Area, Finding, counted
from tollway.config.load import configuration_file, load
from tollway.config.places import is_loopback, url
from tollway.config.problems import ConfigError, Problem
from tollway.config.schema import Config, Provider

READABLE = stat.S_IRGRP | stat.S_IROTH
WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def read(path: Path | None, environ: Mapping[str, str]) -> tuple[Config | None, list[Finding]]:
    """The configuration, None when it can't be served, and what is to be said of it."""
    area = Area("configuration")
    file = configuration_file(path, environ)
    name = "the environment" if file is None else str(file)
    if file is not None:
        _others(area, name, file, WRITABLE, "may be changed by others")
    try:
        config = load(path, environ)
    except ConfigError as error:
        for problem in error.problems:
            area.problem(name, *_told(problem))
        return None, area.findings
    models = sum(len(provider.models) for provider in config.providers)
    area.ok(name, f"{counted(len(config.providers), 'provider')}, {counted(models, 'model')}")
    return config, area.findings


def keys(config: Config, folder: Path) -> list[Finding]:
    """Where each provider's key is from. That there is one the loader has seen to."""
    area = Area("keys")
    for provider in config.providers:
        if provider.api_key_env is not None:
            area.ok(provider.id, f"from the variable {provider.api_key_env}")
        elif provider.api_key_file is not None:
            file = folder / provider.api_key_file
            area.ok(provider.id, f"from the file {file}")
            _others(area, provider.id, file, READABLE | WRITABLE, f"{file} may be read by others")
        elif _own(provider) or provider.headers:
            area.ok(provider.id, "none is set, and none may be needed")
        else:
            area.warning(
                provider.id,
                "none is set",
                "if this provider wants one, name its variable in api_key_env or its file in api_key_file",
            )
    return area.findings


def _own(provider: Provider) -> bool:
    """A server on this machine, which rarely asks for a key."""
    return is_loopback(url(provider.base_url.partition("?")[0]).host)


def _others(area: Area, subject: str, file: Path, forbidden: int, found: str) -> None:
    """Warn of a file that others than its owner have rights to."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return  # the loader says so
    if mode & forbidden:
        keep = mode & ~forbidden
        area.warning(subject, f"{found} (mode {mode:04o})", f"chmod {keep:03o} {file}")


def _told(problem: Problem) -> tuple[str, str]:
    """What is wrong, and what would be right: most of the loader's sentences say the one, a colon and the other."""
    text = str(problem)
    found, colon, mend = problem.expected.partition(": ")
    if not colon or found.endswith("known here"):
        return text, "correct that; docs/configuration.md has every key with an example"
    return text.removesuffix(f": {mend}"), mend
