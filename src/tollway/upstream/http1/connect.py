"""From a place to a connection: names, addresses, a proxy on the way, TLS. One time limit for all of it.

It must not know requests, or what becomes of a connection afterwards.
"""

import asyncio

from tollway.domain.errors import ProviderFault
from tollway.domain.proxies import Proxy
from tollway.upstream.http1.connection import Connection, words
from tollway.upstream.http1.names import Names
from tollway.upstream.http1.race import first_to_connect
from tollway.upstream.http1.request import Place
from tollway.upstream.http1.tls import ClientTls
from tollway.upstream.http1.tunnel import Tunnel


class Connector:
    """Of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, names: Names, tls: ClientTls) -> None:
        self._loop = loop
        self._names = names
        self._tls = tls

    async def connect(self, place: Place, connection: Connection, limit_s: float) -> None:
        """Have `connection` lead to `place`. Raises ProviderFault("connect_failed") from the error behind it. Nothing
        is left open when that fails or is cancelled."""
        try:
            async with asyncio.timeout(limit_s) as limit:
                await self._connect(place, connection, limit_s)
        except (OSError, ValueError) as error:
            why = "no connection within the connect limit" if limit.expired() else f"no connection: {words(error)}"
            raise ProviderFault("connect_failed", why) from error

    async def _connect(self, place: Place, connection: Connection, limit_s: float) -> None:
        hop: Place | Proxy = place.proxy or place
        tunnel = None if place.proxy is None else Tunnel(self._loop, place.proxy, place.host, place.port)
        transport = await self._open(hop, tunnel or connection)
        try:
            if hop.tls:
                transport = await self._secure(transport, tunnel or connection, hop.host, limit_s)
            if tunnel is not None:
                await tunnel.open(transport)
                transport = await self._secure(transport, connection, place.host, limit_s)
            connection.attach(transport)
        except BaseException:
            transport.abort()
            raise

    async def _open(self, hop: Place | Proxy, protocol: asyncio.Protocol) -> asyncio.Transport:
        addresses = await self._names.addresses(hop.host, hop.port)
        try:
            sock = await first_to_connect(addresses)
        except OSError:
            self._names.forget(hop.host, hop.port)
            raise
        transport, _ = await self._loop.create_connection(lambda: protocol, sock=sock)
        return transport

    async def _secure(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, host: str, limit_s: float
    ) -> asyncio.Transport:
        context = await self._tls.context()
        if transport.is_closing():
            raise ConnectionResetError("closed before TLS")
        secured = await self._loop.start_tls(
            transport, protocol, context, server_hostname=host.rstrip("."), ssl_handshake_timeout=limit_s
        )
        if secured is None:
            raise ConnectionResetError("closed during TLS")
        return secured
