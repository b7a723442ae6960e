"""CORS (the Fetch standard, 3.2) for wallets in browsers: whose pages' scripts may call, and what they may read.

Wrapped by routes.py around the whole interface, but where `server.cors_origins` names nobody. Signing in takes a
header and never a cookie, so no answer allows credentials, and any request header may be sent: what is unknown is
ignored anyway.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tollway.api.services import App, Receive, Scope, Services
from tollway.egress.reply import Header, Send

ANY = "*"
METHODS = ("GET", "HEAD", "POST", "DELETE")
# `*` does not stand for authorization; the others are named for readers, and for browsers that don't know `*`.
ALLOWED = (
    "authorization",
    "content-type",
    "sign-in-with-x",
    "idempotency-key",
    "payment-signature",
    "x-request-id",
    "if-none-match",
    "*",
)
EXPOSED = (
    "x-request-id",
    "x-tollway-provider",
    "x-tollway-cost-usd",
    "idempotent-replayed",
    "x-tollway-original-request-id",
    "x-should-retry",
    "retry-after",
    "retry-after-ms",
    "x-ratelimit-limit-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-requests",
    "x-ratelimit-reset-tokens",
    "payment-required",
    "payment-response",
    "www-authenticate",
    "allow",
    "etag",
)
MAX_AGE_S = 7_200  # of a preflight's answer; no browser keeps it longer

VARY: Header = (b"vary", b"origin")


def cors(services: Services) -> Callable[[App, Scope, Receive, Send], Awaitable[None]]:
    """What serves by an `App`, its answers readable by scripts of `Snapshot.cors_origins`: for where there are any.
    What comes from elsewhere, or says no origin, is served as if there were no CORS; only a preflight from an allowed
    origin never reaches the app."""
    answers = _Answers(())

    def serve(app: App, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        nonlocal answers
        origins = services.snapshot.cors_origins
        if answers.origins is not origins:
            answers = _Answers(origins)
        origin = requested = None
        for name, value in scope["headers"]:
            if name == b"origin":
                origin = value
            elif name == b"access-control-request-method":
                requested = value
        if requested is not None and scope["method"] == "OPTIONS" and (allowed := answers.preflight(origin)):
            return services.reply(send).whole(204, [], b"", allowed)
        added = answers.actual(origin)
        return app(scope, receive, _adding(send, added) if added else send)

    return serve


class _Answers:
    """The headers of each allowed origin, computed once."""

    def __init__(self, origins: tuple[str, ...]) -> None:
        self.origins = origins
        self._any = ANY in origins
        self._actual: dict[bytes, tuple[Header, ...]] = {}
        self._preflight: dict[bytes, tuple[Header, ...]] = {}
        exposed = (b"access-control-expose-headers", ", ".join(EXPOSED).encode())
        rules = (
            (b"access-control-allow-methods", ", ".join(METHODS).encode()),
            (b"access-control-allow-headers", ", ".join(ALLOWED).encode()),
            (b"access-control-max-age", str(MAX_AGE_S).encode()),
        )
        for origin in (ANY,) if self._any else origins:
            name = origin.encode()
            allow: tuple[Header, ...] = ((b"access-control-allow-origin", name),)
            if not self._any:
                allow += (VARY,)
            self._actual[name] = (*allow, exposed)
            self._preflight[name] = (*allow, *rules)
        # An answer that another page may read depends on who asks, also when nobody is named: a cache must know.
        self._others: tuple[Header, ...] = () if self._any else (VARY,)

    def actual(self, origin: bytes | None) -> tuple[Header, ...]:
        """What is added to an answer."""
        if origin is None:
            return self._others
        return self._actual.get(self._key(origin), self._others)

    def preflight(self, origin: bytes | None) -> tuple[Header, ...] | None:
        """The headers of a preflight's answer; None for an origin that is not allowed."""
        return None if origin is None else self._preflight.get(self._key(origin))

    def _key(self, origin: bytes) -> bytes:
        return ANY.encode() if self._any else origin


def _adding(send: Send, added: tuple[Header, ...]) -> Send:
    def adding(message: Mapping[str, Any]) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *added]}
        return send(message)

    return adding
