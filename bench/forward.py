"""A bare forward on the router's own connections, to callers and to a provider, with nothing between them: no sign-in,
no plan, no books, no look at what passes. What it costs is the least that a router in this process could."""

import argparse
import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from tollway.cli.serve import bind, settle
from tollway.config.places import address
from tollway.domain.seams import HttpRequest
from tollway.egress.reply import refusal
from tollway.server.connection import HeadLimits
from tollway.server.exchange import App
from tollway.server.listener import Bounds, Listener
from tollway.upstream.http1.transport import Http1Transport

HEADERS = (
    ("content-type", "application/json"),
    ("accept-encoding", "identity"),
    ("authorization", "Bearer 0123456789"),
)
CONNECTIONS_MAX = 10_000
HEAD_BYTES_MAX = 64 << 10
WAIT_S = 60.0


def forwarding(transport: Http1Transport, url: str) -> App:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        async def start(status: int, *headers: tuple[bytes, bytes]) -> None:
            await send({"type": "http.response.start", "status": status, "headers": headers})

        async def body(data: bytes, more: bool = False) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": more})

        asked: Mapping[str, Any] = await receive()
        request = asked["body"]
        while asked["more_body"]:
            asked = await receive()
            request += asked["body"]
        if scope["method"] != "POST":
            await start(200, (b"content-length", b"0"))
            await body(b"")
            return
        outgoing = HttpRequest(method="POST", url=url, headers=HEADERS, body=request, connect_timeout=WAIT_S)
        response = await transport.send(outgoing)
        kind = response.headers.get("content-type", "").encode()
        if not kind.startswith(b"text/event-stream"):
            answer = b""
            while data := await response.read():
                answer += data
            response.close()
            await start(response.status, (b"content-length", b"%d" % len(answer)), (b"content-type", kind))
            await body(answer)
            return
        await start(200, (b"content-type", kind))
        await body(await response.read(), more=True)
        held: list[bytes] = []

        def passed(data: bytes) -> bool:
            if scope["extensions"]["tollway.client"].write(data):
                return True
            held.append(data)
            return False

        while True:
            await response.pump(passed)
            if not held and not (data := await response.read()):
                break
            await body(held.pop() if held else data, more=True)
        response.close()
        await body(b"")

    return app


async def serve(listen: str, url: str) -> None:
    bounds = Bounds(lambda: CONNECTIONS_MAX, lambda: WAIT_S, print)
    app = forwarding(Http1Transport(), url)
    listener = Listener.open(bind(address(listen)), app, lambda: HeadLimits(HEAD_BYTES_MAX, WAIT_S), refusal, bounds)
    settle()
    try:
        await asyncio.Event().wait()
    finally:
        await listener.close(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog=Path(__file__).name, description=(__doc__ or "").splitlines()[0])
    parser.add_argument("listen", help="HOST:PORT")
    parser.add_argument("url", help="where what is asked is sent to")
    options = parser.parse_args()
    uvloop.run(serve(options.listen, options.url))
