"""The operator's own HTTP interface, as ASGI: /metrics, /healthz and /readyz in plain text, for those who can reach it.

It must not know callers: nothing here is signed in to, priced or booked.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATHS = ("/metrics", "/healthz", "/readyz")
METHODS = ("GET", "HEAD")
PLAIN = "text/plain; charset=utf-8"


def operator_app(metrics: Callable[[], bytes], unready: Callable[[], str | None]) -> App:
    """`metrics` gives Prometheus' text; `unready` says why no call is taken at the moment, None when calls are."""

    def answer(path: str) -> tuple[int, bytes]:
        match path:
            case "/metrics":
                return 200, metrics()
            case "/healthz":
                return 200, b"ok\n"
            case _:
                why = unready()
                return (200, b"ready\n") if why is None else (503, f"{why}\n".encode())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path, extra, kind = scope["path"], [], PLAIN
        if path not in PATHS:
            status, body = 404, f"Not here: this listener serves {', '.join(PATHS)}.\n".encode()
        elif scope["method"] not in METHODS:
            status, body = 405, f"Use {' or '.join(METHODS)}.\n".encode()
            extra = [(b"allow", ", ".join(METHODS).encode())]
        else:
            status, body = answer(path)
            kind = CONTENT_TYPE_PLAIN_0_0_4 if path == "/metrics" else PLAIN
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode()), *extra]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
