"""`tollway serve`: the router under uvicorn. SIGTERM and SIGINT drain: no new calls, streams finish, books closed.
SIGHUP reads the configuration again."""

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
import uvicorn
import uvloop

from tollway.api.services import App
from tollway.app import Router, build
from tollway.cli.common import CommandFailed, ConfigOption, command
from tollway.cli.connection import Connection, HeadLimits, connection
from tollway.cli.settings import configuration
from tollway.cli.signals import hangup_signal, stop_signal
from tollway.cli.workers import VARIABLE, WORKERS_MAX, Keeper, Worker, this_worker
from tollway.cli.workers import check as check_workers
from tollway.config.places import Address, address
from tollway.config.schema import Config

log = logging.getLogger("tollway.serve")

BACKLOG = 2048
KEEP_ALIVE_S = 75  # idle connections of clients; longer than most clients' own, so that they close first
TICK_S = 1.0  # how often the Date header is renewed
CLOSE_S = 5  # for connections to be closed after the drain


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Server(uvicorn.Server):
    """uvicorn without its own signal handling (a signal means drain first, stop after) and without its ten wake-ups a
    second: it is told when to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # 0 is a tick that renews the Date header
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), TICK_S)


@command
def serve(
    config: ConfigOption = None,
    listen: Annotated[str | None, typer.Option("--listen", help="HOST:PORT instead of server.listen.")] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=WORKERS_MAX, help="Processes that share the work; more than one need PostgreSQL.")
    ] = 1,
    log_level: Annotated[LogLevel, typer.Option(help="The least that is logged.")] = LogLevel.INFO,
) -> None:
    """Run the router.

    \b
    Example:
      tollway serve
      tollway serve --config tollway.toml --listen 127.0.0.1:8080
      tollway serve --workers 4
    """
    given = {} if listen is None or VARIABLE in os.environ else {"TOLLWAY_SERVER__LISTEN": listen}
    read = partial(configuration, config, **given)
    loaded = read()
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if log_level is not LogLevel.DEBUG:
        logging.getLogger("uvicorn").setLevel(logging.WARNING)  # what it says of its start, it says twice, as "error"
    worker = this_worker(os.environ)
    alone = worker is not None or workers == 1
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(loaded, read, worker) if alone else _keep(loaded, workers))


async def _keep(config: Config, count: int) -> None:
    """Look after `count` workers. They are told where to listen as it came out: port 0 is one port for all of them."""
    check_workers(config, count)
    with _bound(config.server.listen) as sock:
        os.environ["TOLLWAY_SERVER__LISTEN"] = str(Address(*sock.getsockname()[:2]))
        served = f"{_url(sock, tls=config.server.tls is not None)}/api/v1"
        await Keeper(sock, count, _say_draining).run(
            lambda: typer.echo(f"tollway is serving at {served} with {count} workers", err=True)
        )


async def _serve(config: Config, read: Callable[[], Config], worker: Worker | None) -> None:
    stop = stop_signal()
    hangups = hangup_signal(stop)
    async with serving(config, worker) as (router, url):
        reloading = asyncio.ensure_future(_reloading(router, read, hangups))
        if worker is None:
            typer.echo(f"tollway is serving at {url}/api/v1", err=True)
        else:
            worker.stop_with_its_keeper(stop.set)
            worker.say_ready()
        await stop.wait()
        reloading.cancel()
        if worker is None:
            _say_draining()


def _say_draining() -> None:
    with contextlib.suppress(OSError):  # its terminal may have gone
        typer.echo("tollway is draining; once more stops it at once", err=True)


async def _reloading(router: Router, read: Callable[[], Config], hangups: asyncio.Event) -> None:
    """Each SIGHUP asks for what is in the files then: those that come during a reload ask for one more."""
    while True:
        await hangups.wait()
        hangups.clear()
        await router.reloader.reload(read)


def _head_limits(router: Router) -> HeadLimits:
    snapshot = router.services.snapshot
    return HeadLimits(snapshot.header_bytes_max, snapshot.slow_sender_s)


@contextlib.asynccontextmanager
async def serving(config: Config, worker: Worker | None = None) -> AsyncIterator[tuple[Router, str]]:
    """A router that listens, and its URL; drained and closed on the way out. The operator's listener, where there is
    one, is the first to answer and the last to go: it shows the drain."""
    async with contextlib.AsyncExitStack() as stack:
        ops = config.ops.listen if worker is None else worker.operator(config.ops.listen)
        given = None if worker is None else contextlib.closing(worker.socket())
        sock = stack.enter_context(given or _bound(config.server.listen))
        operator = None if ops is None else stack.enter_context(_bound(ops))
        router = await build(config)
        stack.push_async_callback(router.aclose)
        protocol = connection(lambda: _head_limits(router))
        if operator is not None:
            await stack.enter_async_context(_answering(operator, router.operator, protocol))
            log.info("the operator's listener is at %s", _url(operator))
        tls = _tls(config, router)
        await stack.enter_async_context(_answering(sock, router.asgi, protocol, tls))
        yield router, _url(sock, tls=tls is not None)
        await router.drain(router.services.snapshot.drain_s)


@contextlib.asynccontextmanager
async def _answering(
    sock: socket.socket, app: App, protocol: type[Connection], tls: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
    """A server on a socket, stopped on the way out."""
    server = Server(
        uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=CLOSE_S,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
    )
    running = asyncio.ensure_future(server.serve(sockets=[sock]))
    try:
        while not server.started and not running.done():  # noqa: ASYNC110  # uvicorn has a flag and no event
            await asyncio.sleep(0.005)
        yield
    finally:
        server.stop()
        await running


@contextlib.contextmanager
def _bound(place: Address) -> Iterator[socket.socket]:
    """Raises CommandFailed."""
    try:
        sock = bind(place)
    except OSError as error:
        raise CommandFailed(f"can't listen at {place}: {error.strerror}") from None
    with contextlib.closing(sock):
        yield sock


def _url(sock: socket.socket, *, tls: bool = False) -> str:
    return f"{'https' if tls else 'http'}://{Address(*sock.getsockname()[:2])}"


def _tls(config: Config, router: Router) -> ssl.SSLContext | None:
    """What handshakes begin with. Each goes on with the certificate of the configuration as it is then: one that was
    loaded into the same context later would stand beside the old one, if its key is of another kind."""
    first = config.server.tls
    if first is not None:

        def newest(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = router.reloader.config.server.tls or first

        first.sni_callback = newest
    return first


def bind(place: Address) -> socket.socket:
    """A socket that listens; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    # Named TCP, connections get TCP_NODELAY from any event loop: an answer's head and body must not wait for an ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((place.host, place.port))
        sock.listen(BACKLOG)  # now: two sockets that don't listen yet may be bound to one address
    except BaseException:
        sock.close()
        raise
    return sock


def free_address(listen: str) -> Address:
    """`listen` with its port, or with a free one for port 0: for whoever has to know it before the start."""
    place = address(listen)
    if place.port:
        return place
    with _bound(place) as sock:
        return Address(place.host, sock.getsockname()[1])
