"""Where things are: addresses to listen at, URLs, sign-in domains, the ledger's store. Text in, values out; pure."""

import ipaddress
import re
from pathlib import Path
from typing import Literal

import msgspec

from tollway.config.secret import Secret

_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::([0-9]{1,5}))?\Z")
_URL = re.compile(r"(https?)://([^/?#]*)(/[^?#]*)?([?#].*)?\Z", re.IGNORECASE)
_APP_ORIGIN = re.compile(r"(?!https?:)[a-z][a-z0-9+.-]*://[a-z0-9.-]{1,253}\Z")  # of extensions and packaged apps
_VISIBLE = re.compile(r"[!-~]+\Z")
_NUMERIC = re.compile(r"[0-9.]+\Z")

_PORTS = {"http": 80, "https": 443}  # left out of a sign-in's domain (RFC 6454), as clients do
_POSTGRESQL = re.compile(r"postgres(ql)?(\+\w+)?:", re.IGNORECASE)
_POSTGRESQL_URL = re.compile(r"postgres(?:ql)?://(?:([^@/?#\s]*)@)?[^@/?#\s]*/[^/?#@\s]+(?:\?[!-~]*)?\Z")
_PASSWORD_OPTION = re.compile(r"[?&](?:ssl)?password=", re.IGNORECASE)


class Address(msgspec.Struct, frozen=True):
    """A host (IPv6 without its brackets) and port; port 0 takes any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Reachable from this machine only."""
        return is_loopback(self.host)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class LedgerUrl(msgspec.Struct, frozen=True, kw_only=True):
    """Which store keeps the books; `path` is SQLite's file, `conninfo` PostgreSQL's URL. `password` is found once
    loaded; without one libpq looks for it where it always does (PGPASSWORD, ~/.pgpass)."""

    store: Literal["sqlite", "memory", "postgresql"]
    path: Path | None = None
    conninfo: str = ""
    password: Secret | None = None


class Url(msgspec.Struct, frozen=True, kw_only=True):
    """An http or https URL without user, query or fragment; the path has no slash at its end."""

    scheme: str
    host: str
    authority: str  # host[:port] as a sign-in names it: lower case, no port that the scheme implies
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


def is_loopback(host: str) -> bool:
    """Names other than localhost are taken for public: what they resolve to may change."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def address(text: str) -> Address:
    """host:port, with IPv6 in brackets."""
    host, port = _host_port(text, 'expected host:port, such as "127.0.0.1:8080" or "[::1]:8080"')
    if port is None:
        raise ValueError(f'the port is missing: "{text}:8080"')
    return Address(host, port)


def address_or_none(text: str) -> Address | None:
    """An address, or "" for none."""
    return address(text) if text else None


def url(text: str) -> Url:
    match = _URL.match(text) if _VISIBLE.match(text) else None
    if match is None:
        raise ValueError('expected a URL that starts with https:// or http://, such as "https://router.example.com"')
    if "@" in match[2]:
        raise ValueError("a URL here must not carry a user or password")
    if match[4]:
        raise ValueError("a URL here must not have a query (?) or fragment (#)")
    scheme = match[1].lower()
    host, port = _host_port(match[2].lower(), 'expected a host after "://", such as "https://router.example.com"')
    name = f"[{host}]" if ":" in host else host
    authority = name if port in (None, _PORTS[scheme]) else f"{name}:{port}"
    return Url(scheme=scheme, host=host, authority=authority, path=(match[3] or "").rstrip("/"))


def url_text(text: str) -> str:
    """A URL in its normal form."""
    return str(url(text))


def origin(text: str) -> str:
    """Where a page comes from, as browsers write it in `Origin` (RFC 6454): scheme://host[:port], or "*" for any."""
    if text == "*" or _APP_ORIGIN.match(text):
        return text
    found = url(text)
    if found.path or text.endswith("/"):
        raise ValueError('an origin has no path: write "https://app.example.com"')
    return str(found)


def network(text: str) -> Network:
    """Addresses in CIDR notation (RFC 4632), or a single one."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError('expected an address or a network, such as "10.0.0.7" or "10.0.0.0/8"') from None


def domain(text: str) -> str:
    """host[:port], lower case: what a signed message names as its domain (CAIP-122)."""
    _host_port(text, 'expected host or host:port without a scheme, such as "router.example.com"')
    return text.lower()


def local_url(listen: Address, *, tls: bool = False) -> str:
    """Where a router that listens at `listen` is reached when nothing else is said: on its own machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)  # noqa: S104 - compared, not bound
    return f"{'https' if tls else 'http'}://{Address(host, listen.port)}".lower()


def ledger_url(text: str) -> LedgerUrl:
    """sqlite:///relative.db, sqlite:////absolute.db, postgresql://user@host:port/database?options or memory:"""
    if text == "memory:":
        return LedgerUrl(store="memory")
    if _POSTGRESQL.match(text):
        return LedgerUrl(store="postgresql", conninfo=_postgresql_url(text))
    path = text.removeprefix("sqlite:///")
    if path == text or not path or path.startswith(":") or path.endswith("/"):
        raise ValueError(
            'expected "sqlite:///tollway.db", "sqlite:////var/lib/tollway.db" (absolute), '
            '"postgresql://tollway@db.example/tollway" or "memory:"'
        )
    if not path.isprintable() or "?" in path or "#" in path:
        raise ValueError("expected a plain file name after sqlite:///, without options or control characters")
    return LedgerUrl(store="sqlite", path=Path(path))


def _postgresql_url(text: str) -> str:
    """A URL as libpq takes it, without a password."""
    match = _POSTGRESQL_URL.match(text)
    if match is None:
        raise ValueError('expected "postgresql://user@host:port/database", with options after a "?" if need be')
    if ":" in (match[1] or "") or _PASSWORD_OPTION.search(text):
        raise ValueError("a URL here must not carry a password: use ledger.password_env or ledger.password_file")
    return text


def _host_port(text: str, expected: str) -> tuple[str, int | None]:
    match = _AUTHORITY.match(text)
    if match is None:
        raise ValueError(expected)
    host: str = match[1] or match[2]
    try:
        if match[1]:
            ipaddress.IPv6Address(host)
        elif _NUMERIC.match(host):
            ipaddress.IPv4Address(host)
    except ValueError:
        raise ValueError(f"the host is no valid IP address; {expected}") from None
    port = None if match[3] is None else int(match[3])
    if port is not None and port > 65_535:
        raise ValueError("a port is at most 65535")
    return host, port
