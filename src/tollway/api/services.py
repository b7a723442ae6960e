"""What handlers are given, and how every one of them answers: JSON, `x-request-id`, errors in OpenAI's shape."""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from itertools import chain
from typing import Any

import msgspec
from starlette.requests import Request

from tollway.auth.signin import SignIn
from tollway.domain.call import Caller
from tollway.domain.clock import Clock
from tollway.domain.errors import (
    ClientGone,
    HeadersTooLarge,
    InternalError,
    MethodNotAllowed,
    TollwayError,
    UnsupportedEndpoint,
    WalletRequired,
)
from tollway.domain.ids import new_id
from tollway.domain.observer import Observer
from tollway.domain.seams import Ledger
from tollway.domain.waiting import Client
from tollway.egress.reply import Header, Reply, Send
from tollway.limits.addresses import address_of
from tollway.pipeline import Pipeline
from tollway.routing.health import Health
from tollway.snapshot import Snapshot
from tollway.wire import json

log = logging.getLogger("tollway.api")

REQUEST_ID_BYTES_MAX = 200  # of a caller's own x-request-id: recorded, not reused

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Made by app.py, once a process."""

    pipeline: Pipeline
    ledger: Ledger
    health: Health
    clock: Clock
    observer: Observer
    started_s: int  # Unix seconds: what `created` says of a model whose age nobody knows

    @property
    def snapshot(self) -> Snapshot:
        """The configuration as it is now: read once a request, since a reload may come at any await."""
        return self.pipeline.snapshot

    @property
    def sign_in(self) -> SignIn:
        return self.snapshot.sign_in

    def reply(self, send: Send, client: Client | None = None) -> Reply:
        """To a request that has just come; its id is new."""
        write = Reply.never if client is None else client.write
        return Reply(send, new_id(self.clock.now_ms()), challenge=self.pipeline.snapshot.challenge, write=write)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """A handler's answer: a value to encode, or nothing (204)."""

    value: object = None
    status: int = 200
    headers: list[Header] = []


Handler = Callable[[Services, Request], Awaitable[Answered]]


def header_guard(headers: Iterable[tuple[bytes, bytes]], most: int) -> None:
    """Raises HeadersTooLarge when all names and values together are over `most` bytes."""
    size = sum(map(len, chain.from_iterable(headers)))
    if size > most:
        raise HeadersTooLarge(f"The request's headers have {size} bytes; this router takes {most} (server.max_header).")


async def guarded(services: Services, scope: Scope, reply: Reply, work: Callable[[], Awaitable[None]]) -> None:
    """Run the handler of a request; whatever it raises before its answer has begun becomes an error answer."""
    try:
        await work()
    except Exception as error:
        await failed(services, scope, reply, error)


async def failed(services: Services, scope: Scope, reply: Reply, error: Exception) -> None:
    """Answer a request whose handler raised `error`. Whoever calls this catches everything: a bug must end in a clear
    error, and say nothing of itself to callers."""
    if isinstance(error, ClientGone):
        return  # nobody is there to be answered, and nothing went wrong here
    if not isinstance(error, TollwayError):
        log.error("unexpected error in request %s", reply.request_id, exc_info=error)
        error = InternalError("Something went wrong here. The operator finds it by the x-request-id.")
    services.observer.request_refused(error.code, error.status, _client(scope))
    if not reply.started:  # else the server closes the connection: begun and not ended
        await reply.error(error)


def _client(scope: Scope) -> str:
    """The address alone: scopes of tests and of Unix sockets have none."""
    client = scope.get("client")
    return "" if client is None else str(client[0])


class Endpoint:
    """One path as an ASGI callable. `handlers` by method; the rest get a 405.

    What takes GET takes HEAD (RFC 9110, 9.1), whose body the server leaves out."""

    def __init__(self, services: Services, handlers: dict[str, Handler]) -> None:
        self._services = services
        self._handlers = handlers | ({"HEAD": handlers["GET"]} if "GET" in handlers else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        reply = services.reply(send)

        async def work() -> None:
            header_guard(scope["headers"], services.snapshot.header_bytes_max)
            handler = self._handlers.get(scope["method"])
            if handler is None:
                raise method_not_allowed(scope["method"], self._handlers)
            answered = await handler(services, Request(scope, receive))
            if answered.status == 204:
                await reply.whole(204, [], b"", answered.headers)  # a length is not allowed (RFC 9110, 8.6)
            else:
                await reply.json(answered.status, json.encode(answered.value), answered.headers)

        await guarded(services, scope, reply, work)


def method_not_allowed(method: str, served: Iterable[str]) -> MethodNotAllowed:
    names = ", ".join(sorted(served))
    return MethodNotAllowed(f"{method} is not served here: use {names}.", allow=names)


async def identify(services: Services, request: Request) -> Caller:
    """Who asks, from the request's headers: by a wallet, or by a key that hasn't ended. Raises SignInError,
    RateLimited."""
    sign_in, authorization = None, None
    for name, value in request.scope["headers"]:
        if name == b"sign-in-with-x":
            sign_in = value
        elif name == b"authorization":
            authorization = value
    caller = await services.pipeline.identify(address_of(request.scope.get("client")), sign_in, authorization)
    if caller.key is not None:
        await services.sign_in.keys.check(caller)
    return caller


def wallet_only(caller: Caller) -> Caller:
    """For what a delegated key may not do. Raises WalletRequired."""
    if caller.key is not None:
        raise WalletRequired("A delegated key can't do this: sign in with the wallet.")
    return caller


@contextlib.asynccontextmanager
async def reading(services: Services, request: Request) -> AsyncIterator[Caller]:
    """Who asks for something that the books are read for, while they are. Raises as `identify`."""
    caller = await identify(services, request)
    with services.pipeline.snapshot.wallets.read(caller.account):
        yield caller


def unsupported(services: Services, served: tuple[str, ...]) -> App:
    """Whatever isn't in the route table: a 404 that says what is."""
    paths = ", ".join(path for path in served if not path.startswith("/api"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reply = services.reply(send)
        await guarded(services, scope, reply, refuse)

    async def refuse() -> None:
        raise UnsupportedEndpoint(f"This router does not serve that path. It serves {paths}, and the same under /api.")

    return app
