"""POST /chat/completions: a raw ASGI callable, so that no request or response object is built on the hot path."""

from tollway.api.services import (
    REQUEST_ID_BYTES_MAX,
    App,
    Receive,
    Scope,
    Services,
    failed,
    header_guard,
    method_not_allowed,
)
from tollway.domain.waiting import Client
from tollway.egress.reply import Send
from tollway.limits.addresses import address_of
from tollway.pipeline import ChatHeaders
from tollway.upstream.watch import AsgiClient


def chat_completions(services: Services) -> App:
    pipeline = services.pipeline

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        client: Client = scope.get("extensions", {}).get("tollway.client") or AsgiClient(receive)
        reply = services.reply(send, client)
        try:
            headers = scope["headers"]
            header_guard(headers, pipeline.snapshot.header_bytes_max)
            if scope["method"] != "POST":
                raise method_not_allowed(scope["method"], ("POST",))
            await pipeline.chat(reply.request_id, read_headers(headers, scope), receive, client, reply)
        except Exception as error:
            await failed(services, scope, reply, error)

    return app


def read_headers(headers: list[tuple[bytes, bytes]], scope: Scope) -> ChatHeaders:
    """ASGI gives names in lower case. Of a repeated header the last one counts."""
    given = dict(headers)
    request_id = given.get(b"x-request-id")
    return ChatHeaders(
        all=given,
        sign_in=given.get(b"sign-in-with-x"),
        authorization=given.get(b"authorization"),
        address=address_of(scope.get("client")),
        request_id=None if request_id is None else request_id[:REQUEST_ID_BYTES_MAX].decode("latin-1"),
        idempotency_key=given.get(b"idempotency-key"),
    )
