"""The route table and nothing else. Exact paths are looked up; what carries an id goes through starlette's router."""

from starlette.routing import Route, Router

from tollway.api import generations, health, models, providers, session
from tollway.api.chat import chat_completions
from tollway.api.services import App, Receive, Scope, Services, endpoint, unsupported
from tollway.egress.reply import Send

PREFIXES = ("/api/v1", "/v1")


def routes(services: Services) -> App:
    """The whole HTTP interface, as one ASGI callable."""
    exact: dict[str, App] = {
        "/healthz": endpoint(services, {"GET": health.healthz}),
        "/readyz": endpoint(services, {"GET": health.readyz}),
    }
    patterns: list[Route] = []
    for prefix in PREFIXES:
        exact |= {
            f"{prefix}/chat/completions": chat_completions(services),
            f"{prefix}/models": endpoint(services, {"GET": models.models}),
            f"{prefix}/providers": endpoint(services, {"GET": providers.providers}),
            f"{prefix}/session": endpoint(services, {"DELETE": session.revoke}),
            f"{prefix}/session/balance": endpoint(services, {"GET": session.balance}),
            f"{prefix}/session/nonce": endpoint(services, {"GET": session.nonce}),
            f"{prefix}/session/transactions": endpoint(services, {"GET": session.transactions}),
        }
        patterns += [
            Route(f"{prefix}/models/{{id:path}}", endpoint(services, {"GET": models.model})),
            Route(f"{prefix}/generations/{{id}}", endpoint(services, {"GET": generations.generation})),
        ]
    served = tuple(sorted(exact))
    router = Router(routes=patterns, default=unsupported(services, served), redirect_slashes=False)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await exact.get(scope["path"], router)(scope, receive, send)

    return app
