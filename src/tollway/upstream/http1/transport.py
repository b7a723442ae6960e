"""domain.seams.Transport on connections of our own: pooled HTTP/1.1, every failure one ProviderFault.

This room knows sockets and HTTP and nothing of chat completions; how long an answer may take is its caller's affair
(only connecting is limited here). What it promises is written in domain/seams.py and tested in tests/contract/.
"""

import asyncio
import ssl
from collections.abc import Callable

from tollway.domain.errors import ProviderFault
from tollway.domain.outbox import Outbox
from tollway.domain.proxies import NO_PROXIES, Proxies
from tollway.domain.seams import HttpRequest, nobody_asks
from tollway.upstream.http1.connect import Connector
from tollway.upstream.http1.connection import Connection, words
from tollway.upstream.http1.names import Names, Resolve, system_addresses
from tollway.upstream.http1.pool import KEEP_ALIVE_S, Pool
from tollway.upstream.http1.request import Place, Prepared, prepare
from tollway.upstream.http1.response import Response
from tollway.upstream.http1.rounds import Rounds
from tollway.upstream.http1.tls import ClientTls

PREPARED_MAX = 4096  # heads: a URL and its headers are a provider's, and change with the configuration


class Http1Transport:
    """Opens its pool in the running loop at the first call, and belongs to that loop.

    `ssl_context` replaces the system's certificate authorities (it must verify, or nothing does), and is changed to ask
    for HTTP/1.1 and to take up sessions again."""

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        proxies: Proxies = NO_PROXIES,
        resolve: Resolve = system_addresses,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self._tls = ClientTls(ssl_context)
        self._proxies = proxies
        self._names = Names(resolve)
        self._keep_alive_s = keep_alive_s
        self._prepared: dict[tuple[str, str, tuple[tuple[str, str], ...]], Prepared] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def send(self, request: HttpRequest, on_sent: Callable[[], object] = nobody_asks) -> Response:
        """Wait for the head of the answer. Raises ProviderFault("stale_connection") when the provider may just have
        closed a connection that was idle, else "connect_failed"; the detail starts with "reset" when it dropped a new
        one. Either way it may have seen the request, so nothing is sent again here."""
        if self._closed:
            raise ProviderFault("connect_failed", "the transport is closed")
        prepared = self._prepared.get((request.method, request.url, request.headers))
        if prepared is None:
            prepared = self._prepare(request)
        if self._loop is None:
            self._open()
        place = prepared.place
        connection = None if request.fresh_connection else self._pool.take(place)
        if is_new := connection is None:
            connection = await self._connect(place, request.connect_timeout)
        on_sent()
        response = connection.send(prepared.with_length(len(request.body)), request.body, bodyless=prepared.bodyless)
        try:
            await response.head()
        except BaseException:
            connection.drop()
            raise
        if is_new and place.tls:
            self._tls.keep(connection.tls)
        return response

    @property
    def connections(self) -> int:
        """That are open to all providers, in use or idle."""
        return 0 if self._loop is None else len(self._pool)

    async def aclose(self) -> None:
        self._closed = True
        if self._loop is not None:
            await self._pool.aclose()

    def _open(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._pool = Pool(loop, self._keep_alive_s)
        self._rounds = Rounds(loop)
        self._outbox = Outbox(loop)
        self._connector = Connector(loop, self._names, self._tls)

    def _prepare(self, request: HttpRequest) -> Prepared:
        try:
            prepared = prepare(request, self._proxies.of)
        except ValueError as error:
            raise ProviderFault("connect_failed", f"not sent: {words(error)}") from error
        if len(self._prepared) >= PREPARED_MAX:
            self._prepared.clear()
        self._prepared[request.method, request.url, request.headers] = prepared
        return prepared

    async def _connect(self, place: Place, limit_s: float) -> Connection:
        connection = Connection(
            asyncio.get_running_loop(), self._pool.free, self._pool.lost, self._rounds, self._outbox
        )
        await self._connector.connect(place, connection, limit_s)
        if self._closed:
            connection.drop()
            raise ProviderFault("connect_failed", "the transport is closed")
        self._pool.adopt(connection, place)
        return connection
