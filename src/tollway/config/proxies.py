"""Proxies on the way to providers, from the variables that every program reads: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and
NO_PROXY, in small letters too, which count first. No message shows what they hold: it may be a password.

Must not know who is asked through one; that a way leads to this machine itself is domain/proxies.py's affair.
"""

import base64
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from tollway.config.read import Reading
from tollway.domain.proxies import Proxies, Proxy

ENTRIES_MAX = 1_000  # of NO_PROXY

_ENTRY = re.compile(r"[A-Za-z0-9*.:/_\[\]-]{1,300}\Z")
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}\Z")
_SOCKS = re.compile(r"socks\w*:", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


def proxies(environ: Mapping[str, str], reading: Reading) -> Proxies:
    """What is wrong is reported, by the variable's name."""
    return Proxies(
        http=_proxy("http_proxy", environ, reading),
        https=_proxy("https_proxy", environ, reading),
        direct=_direct(environ, reading),
    )


def proxies_alone(environ: Mapping[str, str]) -> Proxies:
    """The same for a command without a configuration. Raises ConfigError."""
    reading = Reading()
    found = proxies(environ, reading)
    reading.check()
    return found


def _proxy(name: str, environ: Mapping[str, str], reading: Reading) -> Proxy | None:
    """One that is set to nothing says that there is none."""
    variable = next((one for one in (name, name.upper(), "all_proxy", "ALL_PROXY") if one in environ), None)
    text = environ[variable].strip() if variable is not None else ""
    if variable is None or not text:
        return None
    try:
        return read(text)
    except ValueError as error:
        if reading.sound(variable):  # ALL_PROXY is read twice
            reading.report((variable,), str(error))
        return None


def read(text: str) -> Proxy:
    """`[http://][user:password@]host[:port]`. Raises ValueError, without what was given."""
    if _SOCKS.match(text):
        raise ValueError(
            "SOCKS proxies are not spoken: name an HTTP proxy (http://host:port), or start the router without it"
        )
    expected = "expected an HTTP proxy, such as http://proxy.example.com:3128"
    try:
        parts = urlsplit(text if "://" in text else f"http://{text}")
        port = parts.port
    except ValueError:
        raise ValueError(expected) from None
    if (
        parts.scheme not in _PORTS
        or not _HOST.match(parts.hostname or "")
        or parts.path not in ("", "/")
        or parts.query
    ):
        raise ValueError(expected)
    given = parts.username is not None or parts.password is not None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    token = base64.b64encode(pair.encode()).decode()
    return Proxy(
        host=parts.hostname or "",
        port=port or _PORTS[parts.scheme],
        tls=parts.scheme == "https",
        authorization=f"Basic {token}" if given else None,
    )


def _direct(environ: Mapping[str, str], reading: Reading) -> tuple[str, ...]:
    variable = "no_proxy" if "no_proxy" in environ else "NO_PROXY"
    entries = [entry for entry in re.split(r"[\s,]+", environ.get(variable, "")) if entry]
    if len(entries) > ENTRIES_MAX or not all(map(_ENTRY.match, entries)):
        reading.report((variable,), f"expected at most {ENTRIES_MAX} hosts, such as example.com,10.0.0.0/8")
        return ()
    return tuple(_plain(entry.lower()) for entry in entries)


def _plain(entry: str) -> str:
    """`.example.com` and `*.example.com` mean what `example.com` does; brackets around an address are for URLs."""
    if entry == "*":
        return entry
    return entry.removeprefix("*").removeprefix(".").rstrip(".").replace("[", "").replace("]", "")
