"""The transport seam on aiohttp: pooled HTTP/1.1 connections to providers, every failure one ProviderFault.

This module knows sockets and HTTP and nothing of chat completions; how long an answer may take is its caller's affair
(only connecting is limited here). What it promises is written in domain/seams.py and tested in tests/contract/.
"""

import asyncio
import io
import ssl
from collections.abc import Callable, Mapping
from types import SimpleNamespace

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection

from tollway.domain.answer import Outcome
from tollway.domain.errors import ProviderFault
from tollway.domain.seams import HttpRequest, nobody_asks

READ_BYTES_MAX = 64 << 10  # one read; aiohttp stops the socket once twice as much waits to be read
HEAD_LINE_BYTES_MAX = 16 << 10  # the status line, or one header: providers send content policies of some KB
HEADERS_MAX = 128
BODY_AT_ONCE_BYTES_MAX = 1 << 20  # a larger request body is written in pieces, so that others get their turn
CONNECTIONS_MAX = 0  # none: streams are limited where calls are admitted, and a pool that is full stalls them
KEEP_ALIVE_S = 15.0  # an idle connection is dropped before most servers do it, which would break the next call

_DROPPED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)


class AiohttpTransport:
    """domain.seams.Transport. Opens its pool in the running loop at the first call, and belongs to that loop.

    `ssl_context` replaces the system's certificate authorities (it must verify, or nothing does)."""

    def __init__(
        self,
        *,
        ssl_context: ssl.SSLContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        keep_alive_s: float = KEEP_ALIVE_S,
    ) -> None:
        self._ssl = ssl_context
        self._connections_max = connections_max
        self._keep_alive_s = keep_alive_s
        self._session: aiohttp.ClientSession | None = None
        self._fresh: aiohttp.ClientSession | None = None  # whose connections serve one request each
        self._closed = False

    async def send(self, request: HttpRequest, on_sent: Callable[[], object] = nobody_asks) -> "AiohttpResponse":
        """Wait for the head of the answer. Raises ProviderFault("stale_connection") when the provider may just have
        closed a connection that was idle, else "connect_failed"; the detail starts with "reset" when it dropped a new
        one. Either way it may have seen the request, so nothing is sent again here."""
        if self._closed:
            raise ProviderFault("connect_failed", "the transport is closed")
        session = self._fresh_session() if request.fresh_connection else self._session or self._open()
        pool = SimpleNamespace(reused=False, on_sent=on_sent)
        try:
            response = await session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=request.body if len(request.body) <= BODY_AT_ONCE_BYTES_MAX else io.BytesIO(request.body),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=request.connect_timeout),
                trace_request_ctx=pool,
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            stale = pool.reused and isinstance(error, _DROPPED)
            outcome: Outcome = "stale_connection" if stale else "connect_failed"
            raise ProviderFault(outcome, _before_head(error, pool.reused)) from error
        assert isinstance(response, _Response), "the session makes this class"
        return AiohttpResponse(response)

    async def aclose(self) -> None:
        self._closed = True
        for session in (self._session, self._fresh):
            if session is not None:
                await session.close()

    def _open(self) -> aiohttp.ClientSession:
        self._session = self._new(
            aiohttp.TCPConnector(
                ssl=self._ssl or True, limit=self._connections_max, keepalive_timeout=self._keep_alive_s
            )
        )
        return self._session

    def _fresh_session(self) -> aiohttp.ClientSession:
        if self._fresh is None:
            self._fresh = self._new(
                aiohttp.TCPConnector(ssl=self._ssl or True, limit=self._connections_max, force_close=True)
            )
        return self._fresh

    def _new(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        trace.on_connection_create_end.append(_note_new)
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            response_class=_Response,
            skip_auto_headers=("accept", "accept-encoding", "user-agent", "content-type"),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=READ_BYTES_MAX,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            trace_configs=[trace],
        )
        # aiohttp has no public way to say so: by itself it sends a GET again whose connection was lost.
        session._retry_connection = False
        return session


class AiohttpResponse:
    """domain.seams.HttpResponse."""

    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: "_Response") -> None:
        self._response = response
        self.status: int = response.status
        headers: dict[str, str] = {}
        for name, value in response.headers.items():
            headers.setdefault(name.lower(), value)
        self.headers: Mapping[str, str] = headers

    async def read(self) -> bytes:
        content = self._response.content
        try:
            data = await content.read(READ_BYTES_MAX)
        except (aiohttp.ClientError, OSError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and self._response.is_connected():
                raise  # two reads at once: our mistake, not the provider's
            # aiohttp raises before it has given what came before the break, and has no public way to get at it.
            if data := content._read_nowait(READ_BYTES_MAX):
                return data
            raise ProviderFault("cut", f"the body broke off: {_words(error)}", status=self.status) from error
        if not data and (reset := self._response.reset_at_end()) is not None:
            raise ProviderFault("cut", f"the body broke off: {_words(reset)}", status=self.status)
        return data

    def close(self) -> None:
        self._response.close()


class _Response(aiohttp.ClientResponse):
    """Sees how the connection ends, where aiohttp's own reader would miss it."""

    _handler: ResponseHandler | None = None
    _connection_closed: "asyncio.Future[None] | None" = None

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        self._handler = connection.protocol
        await super().start(connection)
        if self._handler is not None and not self.content.is_eof():
            self._connection_closed = self._handler.closed
        if self._connection_closed is not None:
            self._connection_closed.add_done_callback(self._lost)
        return self

    def close(self) -> None:
        if self._connection_closed is not None:
            self._connection_closed.remove_done_callback(self._lost)
            # Another answer may come on this connection; however it ends, somebody has looked.
            self._connection_closed.remove_done_callback(_look)
            self._connection_closed.add_done_callback(_look)
            self._connection_closed = None
        super().close()

    def is_connected(self) -> bool:
        return self._handler is not None and self._handler.is_connected()

    def reset_at_end(self) -> BaseException | None:
        """The error that ended a body which only the connection's end could end (neither a length nor chunks): aiohttp
        takes a reset for its regular end."""
        if "content-length" in self.headers or "transfer-encoding" in self.headers or self._handler is None:
            return None
        error = self._handler.exception()
        return error if isinstance(error, OSError) else None

    def _lost(self, closed: "asyncio.Future[None]") -> None:
        """Wake the reader of a body whose framing was damaged: aiohttp closes the connection and lets it wait."""
        _look(closed)
        if not self.content.is_eof() and self.content.exception() is None:
            self.content.set_exception(aiohttp.ClientPayloadError("damaged framing, or the connection was lost"))


def _look(closed: "asyncio.Future[None]") -> None:
    """Take note of a future's exception, which asyncio would else report as never retrieved."""
    if not closed.cancelled():
        closed.exception()


async def _note_reuse(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.reused = True
    context.trace_request_ctx.on_sent()


async def _note_new(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
    context.trace_request_ctx.on_sent()


def _before_head(error: BaseException, reused: bool) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "no connection within the connect limit"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"no connection: {_words(error)}"
    if isinstance(error, _DROPPED):
        return f"reset {'on a reused connection' if reused else 'before an answer'}: {_words(error)}"
    return f"no readable answer: {_words(error)}"


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
