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
    """By the scheme of what is asked. `direct` is asked without a proxy: hosts, in lower case, with all below them;
    addresses and networks (10.0.0.0/8); "*". This machine's own names and addresses always are."""

    http: Proxy | None = None
    https: Proxy | None = None
    direct: Sequence[str] = ()

    def of(self, scheme: str, host: str) -> Proxy | None:
        proxy = self.https if scheme == "https" else self.http
        return None if proxy is None or self._is_direct(host.lower().rstrip(".")) else proxy

    def _is_direct(self, host: str) -> bool:
        if host == "localhost" or host.endswith(".localhost") or "*" in self.direct:
            return True
        address = _address(host)
        if address is None:
            return any(host == name or host.endswith(f".{name}") for name in self.direct)
        return address.is_loopback or any(_holds(network, address) for network in self.direct)


NO_PROXIES = Proxies()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
