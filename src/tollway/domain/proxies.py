"""Which proxy leads to which host, as a value: read from the environment by config/, followed by upstream/."""

import ipaddress
from collections.abc import Sequence

import msgspec


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP proxy. `authorization` is the value of Proxy-Authorization: a secret."""

    host: str
    port: int
    tls: bool = False  # on the way to the proxy itself
    authorization: str | None = None

    def __repr__(self) -> str:
        return f"Proxy({self.host!r}, {self.port})"


class Proxies(msgspec.Struct, frozen=True, kw_only=True):
    """By the scheme of what is asked. `direct` is asked without a proxy, in lower case: hosts with all below them, at
    one port where they have one (host:port); addresses and networks (10.0.0.0/8); "*". This machine's own names and
    addresses always are."""

    http: Proxy | None = None
    https: Proxy | None = None
    direct: Sequence[str] = ()

    def of(self, scheme: str, host: str, port: int) -> Proxy | None:
        proxy = self.https if scheme == "https" else self.http
        return None if proxy is None or self._is_direct(host.lower().rstrip("."), port) else proxy

    def _is_direct(self, host: str, port: int) -> bool:
        if host == "localhost" or host.endswith(".localhost") or "*" in self.direct:
            return True
        address = _address(host)
        if address is not None:
            return address.is_loopback or any(_holds(entry, address, port) for entry in self.direct)
        return any(_at_or_below(name, host, port) for name in self.direct)


NO_PROXIES = Proxies()


def _at_or_below(entry: str, host: str, port: int) -> bool:
    name, at_port = _split(entry)
    return at_port in (None, port) and (host == name or host.endswith(f".{name}"))


def _holds(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
    name, at_port = _split(entry)
    try:
        return at_port in (None, port) and address in ipaddress.ip_network(name, strict=False)
    except ValueError:
        return False


def _split(entry: str) -> tuple[str, int | None]:
    name, colon, port = entry.rpartition(":")
    return (name, int(port)) if colon and ":" not in name and port.isdecimal() else (entry, None)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
