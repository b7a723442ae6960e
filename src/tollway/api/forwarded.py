"""Who connects, where a proxy stands in between: `X-Forwarded-For` and `X-Forwarded-Proto`, from trusted proxies alone.

Each proxy adds at the right whom it was connected by. Read from there, the first address that is no trusted proxy's is
the client's; whatever stands left of it the client may have made up. routes.py asks it of every request.
"""

import ipaddress
from collections.abc import Iterator, Sequence

from tollway.api.services import Scope
from tollway.config.places import Network

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

SCHEMES = ("http", "https")


def seen_through(trusted: Sequence[Network], scope: Scope) -> Scope:
    """`scope` with the client's own address (port 0: nobody says) and scheme, where a trusted proxy tells them."""
    if scope["client"] is None:
        return scope
    peer = address(scope["client"][0])
    if peer is None or not _within(peer, trusted):
        return scope
    found = peer
    for hop in _hops(scope["headers"]):
        told = address(hop)
        if told is None:
            break  # the last address that was told by somebody trusted stands
        found = told
        if not _within(told, trusted):
            break
    schemes = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
    scheme = schemes[-1].rpartition(b",")[2].strip().decode("latin-1").lower() if schemes else ""
    client = scope["client"] if found is peer else (str(found), 0)
    return {**scope, "client": client, "scheme": scheme if scheme in SCHEMES else scope["scheme"]}


def address(text: str) -> IPAddress | None:
    """An address as proxies write it: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if not isinstance(found, ipaddress.IPv6Address):
        return found
    return found.ipv4_mapped or ipaddress.IPv6Address(int(found))  # without its zone, which may be any text


def _hops(headers: Sequence[tuple[bytes, bytes]]) -> Iterator[str]:
    """From the nearest: of several headers the last one is the newest (RFC 9110, 5.3)."""
    for name, value in reversed(headers):
        if name == b"x-forwarded-for":
            yield from reversed(value.decode("latin-1").split(","))


def _within(found: IPAddress, networks: Sequence[Network]) -> bool:
    return any(found.version == network.version and found in network for network in networks)
