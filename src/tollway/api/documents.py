"""Documents that are made once and served as the bytes they are, with an etag: /openapi.json and /docs."""

import hashlib

from tollway.api.services import App, Receive, Scope, Services, guarded, header_guard, method_not_allowed
from tollway.egress.reply import Header, Send

MAX_AGE_S = 300  # a new version of the router is seen within minutes
METHODS = ("GET", "HEAD")


def document(services: Services, kind: str, body: bytes, *headers: Header) -> App:
    """An ASGI callable that serves `body`, of the media type `kind`, to anybody."""
    etag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
    about: list[Header] = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    caching = [(b"etag", etag), (b"cache-control", b"public, max-age=%d" % MAX_AGE_S), *headers]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        reply = services.reply(send)

        async def work() -> None:
            header_guard(scope["headers"], services.snapshot.header_bytes_max)
            if scope["method"] not in METHODS:
                raise method_not_allowed(scope["method"], METHODS)
            if _has(scope, etag):
                await reply.whole(304, [], b"", caching)
            else:
                await reply.whole(200, about, body, caching)

        await guarded(services, scope, reply, work)

    return app


def _has(scope: Scope, etag: bytes) -> bool:
    """The caller's copy is this one (RFC 9110, 13.1.2; compared weakly)."""
    named = b",".join(value for name, value in scope["headers"] if name == b"if-none-match")
    tags = [tag.strip().removeprefix(b"W/") for tag in named.split(b",")]
    return etag in tags or b"*" in tags
