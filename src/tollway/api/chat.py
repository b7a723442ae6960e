"""POST /chat/completions: a raw ASGI callable, so that no request or response object is built on the hot path."""

from tollway.api.services import (
    REQUEST_ID_BYTES_MAX,
    App,
    Receive,
    Scope,
    Services,
    guarded,
    header_guard,
    method_not_allowed,
)
from tollway.domain.waiting import Client
from tollway.egress.reply import Send
from tollway.limits.addresses import address_of
from tollway.pipeline import ChatHeaders
from tollway.upstream.watch import AsgiClient


def chat_completions(services: Services) -> App:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        client: Client = scope.get("extensions", {}).get("tollway.client") or AsgiClient(receive)
        reply = services.reply(send, client)

        async def work() -> None:
            headers = scope["headers"]
            header_guard(headers, services.snapshot.header_bytes_max)
            if scope["method"] != "POST":
                raise method_not_allowed(scope["method"], ("POST",))
            await services.pipeline.chat(reply.request_id, read_headers(headers, scope), receive, client, reply)

        await guarded(services, scope, reply, work)

    return app


def read_headers(headers: list[tuple[bytes, bytes]], scope: Scope) -> ChatHeaders:
    """ASGI gives names in lower case. Of a repeated header the last one counts."""
    sign_in: bytes | None = None
    authorization: bytes | None = None
    request_id: str | None = None
    idempotency_key: bytes | None = None
    for name, value in headers:
        if name == b"sign-in-with-x":
            sign_in = value
        elif name == b"authorization":
            authorization = value
        elif name == b"idempotency-key":
            idempotency_key = value
        elif name == b"x-request-id":
            request_id = value[:REQUEST_ID_BYTES_MAX].decode("latin-1")
    address = address_of(scope.get("client"))
    return ChatHeaders(
        all=headers,
        sign_in=sign_in,
        authorization=authorization,
        address=address,
        request_id=request_id,
        idempotency_key=idempotency_key,
    )
