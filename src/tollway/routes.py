"""The route table and nothing else. Exact paths are looked up; what carries an id goes through starlette's router.

What is described at /openapi.json stands in api/openapi.py; a test compares the two.
"""

from collections.abc import Awaitable
from typing import Any, NamedTuple, cast

from starlette.routing import Route, Router

from tollway import __version__
from tollway.api import generations, health, keys, models, providers, session, usage
from tollway.api.chat import chat_completions
from tollway.api.cors import cors
from tollway.api.docs_page import PAGE_POLICY, docs_page
from tollway.api.documents import document
from tollway.api.forwarded import seen_through
from tollway.api.openapi import openapi
from tollway.api.services import App, Endpoint, Receive, Scope, Services, unsupported
from tollway.egress.reply import Send
from tollway.wire import json

PREFIXES = ("/api/v1", "/v1")


class Table(NamedTuple):
    """`exact` by path; `patterns` are paths with an id in them."""

    exact: dict[str, App]
    patterns: tuple[tuple[str, App], ...]


def table(services: Services) -> Table:
    """Every path that is served."""
    description = openapi(__version__)
    exact: dict[str, App] = {
        "/healthz": Endpoint(services, {"GET": health.healthz}),
        "/readyz": Endpoint(services, {"GET": health.readyz}),
        "/openapi.json": document(services, "application/json", json.encode(description)),
        "/.well-known/jwks.json": Endpoint(services, {"GET": generations.key_set}),
        "/docs": document(services, "text/html; charset=utf-8", docs_page(description), PAGE_POLICY),
    }
    patterns: list[tuple[str, App]] = []
    for prefix in PREFIXES:
        exact |= {
            f"{prefix}/chat/completions": chat_completions(services),
            f"{prefix}/models": Endpoint(services, {"GET": models.models}),
            f"{prefix}/providers": Endpoint(services, {"GET": providers.providers}),
            f"{prefix}/keys": Endpoint(services, {"POST": keys.create, "GET": keys.listing}),
            f"{prefix}/session": Endpoint(services, {"DELETE": session.revoke}),
            f"{prefix}/session/balance": Endpoint(services, {"GET": session.balance}),
            f"{prefix}/session/nonce": Endpoint(services, {"GET": session.nonce}),
            f"{prefix}/session/transactions": Endpoint(services, {"GET": session.transactions}),
            f"{prefix}/session/usage": Endpoint(services, {"GET": usage.usage}),
        }
        patterns += [
            (f"{prefix}/models/{{id:path}}", Endpoint(services, {"GET": models.model})),
            (f"{prefix}/keys/{{id}}", Endpoint(services, {"DELETE": keys.end})),
            (f"{prefix}/generations/{{id}}", Endpoint(services, {"GET": generations.generation})),
        ]
    return Table(exact, tuple(patterns))


def routes(services: Services) -> App:
    """The whole HTTP interface, as one ASGI callable."""
    exact, patterns = table(services)
    known = tuple(sorted((*exact, *(path.replace(":path", "") for path, _ in patterns))))
    router = Router(
        routes=[Route(path, endpoint) for path, endpoint in patterns],
        default=cast(Any, unsupported(services, known)),
        redirect_slashes=False,
    )

    readable = cors(services)

    def app(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        snapshot = services.pipeline.snapshot
        if snapshot.trusted_proxies:
            scope = seen_through(snapshot.trusted_proxies, scope)
        served = exact.get(scope["path"], router)
        return readable(served, scope, receive, send) if snapshot.cors_origins else served(scope, receive, send)

    return app
