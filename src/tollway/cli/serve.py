"""`tollway serve`: a router that listens. SIGTERM and SIGINT drain: no new calls, streams finish, books closed.
SIGHUP reads the configuration again."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import Annotated

import typer
import uvloop

from tollway.api.services import App
from tollway.app import Router, build
from tollway.cli.common import CommandFailed, ConfigOption, command
from tollway.cli.open_files import raise_open_files
from tollway.cli.settings import configuration
from tollway.cli.signals import hangup_signal, stop_signal
from tollway.cli.workers import VARIABLE, WORKERS_MAX, Keeper, Worker, this_worker
from tollway.cli.workers import check as check_workers
from tollway.config.places import Address, address
from tollway.config.schema import Config
from tollway.egress.reply import refusal
from tollway.server.accepting import keep_watch
from tollway.server.connection import HeadLimits
from tollway.server.listener import BACKLOG, Bounds, Listener

log = logging.getLogger("tollway.serve")

CLOSE_S = 5  # for connections to be closed after the drain
OPERATORS_MAX = 100  # connections to the operator's listener: what scrapes it, and people
UNANSWERED_S = 60.0  # beyond slow_reader: then the system gives up a connection whose peer says nothing more at all


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


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
    async with serving(config, worker, raise_open_files()) as (router, url):
        settle()
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


def settle() -> None:
    """Garbage collection costs by what it has to go through. What there is now stays, so it needn't be gone through
    again; and calls leave hardly any circles behind, so it needn't be looked for as often as by default (700, 10, 10),
    at which it took a tenth of a call."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _say_draining() -> None:
    with contextlib.suppress(OSError):  # its terminal may have gone
        typer.echo("tollway is draining; once more stops it at once", err=True)


async def _reloading(router: Router, read: Callable[[], Config], hangups: asyncio.Event) -> None:
    """Each SIGHUP asks for what is in the files then: those that come during a reload ask for one more."""
    while True:
        await hangups.wait()
        hangups.clear()
        await router.reloader.reload(read)


def _connections_max(router: Router) -> int:
    return router.services.snapshot.connections_max


def _head_limits(router: Router) -> HeadLimits:
    snapshot = router.services.snapshot
    return HeadLimits(snapshot.header_bytes_max, snapshot.slow_sender_s)


@contextlib.asynccontextmanager
async def serving(
    config: Config, worker: Worker | None = None, files: int | None = None
) -> AsyncIterator[tuple[Router, str]]:
    """A router that listens, and its URL; drained and closed on the way out. The operator's listener, where there is
    one, is the first to answer and the last to go: it shows the drain. `files` is how many may be open; None: any
    number."""
    async with contextlib.AsyncExitStack() as stack:
        ops = config.ops.listen if worker is None else worker.operator(config.ops.listen)
        given = None if worker is None else contextlib.closing(worker.socket())
        sock = stack.enter_context(given or _bound(config.server.listen))
        operator = None if ops is None else stack.enter_context(_bound(ops))
        router = await build(config, files=files)
        stack.push_async_callback(router.aclose)
        if operator is not None:
            operators = _answering(operator, router, router.operator, lambda: OPERATORS_MAX)
            await stack.enter_async_context(operators)
            log.info("the operator's listener is at %s", _url(operator))
        tls = _tls(config, router)
        keep_watch(sock, config.server.slow_reader + UNANSWERED_S)
        callers = _answering(sock, router, router.asgi, partial(_connections_max, router), tls)
        listener = await stack.enter_async_context(callers)
        router.metrics.process.connections = lambda: listener.connections
        yield router, _url(sock, tls=tls is not None)
        await router.drain(router.services.snapshot.drain_s)


@contextlib.asynccontextmanager
async def _answering(
    sock: socket.socket, router: Router, app: App, most: Callable[[], int], tls: ssl.SSLContext | None = None
) -> AsyncIterator[Listener]:
    """A socket that `app` answers, for `most` connections at once, until the way out."""
    bounds = Bounds(
        most,
        lambda: router.services.snapshot.slow_reader_s,
        lambda detail: router.services.observer.alarm("connections_full", detail),
    )
    listener = Listener.open(sock, app, partial(_head_limits, router), refusal, bounds, tls)
    try:
        yield listener
    finally:
        await listener.close(CLOSE_S)


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
