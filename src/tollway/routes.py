"""The route table and nothing else. Exact paths are looked up; what carries an id goes through starlette's router."""

from typing import Any, cast

from starlette.routing import Route, Router

from tollway.api import generations, health, models, providers, session
from tollway.api.chat import chat_completions
from tollway.api.services import App, Endpoint, Receive, Scope, Services, unsupported
from tollway.egress.reply import Send

PREFIXES = ("/api/v1", "/v1")


def routes(services: Services) -> App:
    """The whole HTTP interface, as one ASGI callable."""
    exact: dict[str, App] = {
        "/healthz": Endpoint(services, {"GET": health.healthz}),
        "/readyz": Endpoint(services, {"GET": health.readyz}),
    }
    patterns: list[Route] = []
    for prefix in PREFIXES:
        exact |= {
            f"{prefix}/chat/completions": chat_completions(services),
            f"{prefix}/models": Endpoint(services, {"GET": models.models}),
            f"{prefix}/providers": Endpoint(services, {"GET": providers.providers}),
            f"{prefix}/session": Endpoint(services, {"DELETE": session.revoke}),
            f"{prefix}/session/balance": Endpoint(services, {"GET": session.balance}),
            f"{prefix}/session/nonce": Endpoint(services, {"GET": session.nonce}),
            f"{prefix}/session/transactions": Endpoint(services, {"GET": session.transactions}),
        }
        patterns += [
            Route(f"{prefix}/models/{{id:path}}", Endpoint(services, {"GET": models.model})),
            Route(f"{prefix}/generations/{{id}}", Endpoint(services, {"GET": generations.generation})),
        ]
    served = tuple(sorted(exact))
    router = Router(routes=patterns, default=cast(Any, unsupported(services, served)), redirect_slashes=False)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await exact.get(scope["path"], router)(scope, receive, send)

    return app
