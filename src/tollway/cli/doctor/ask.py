"""Asks over HTTP, through the transport that serves calls: what it can't reach a router can't reach either (the same
certificate authorities and proxies, no redirects). Every answer is bounded in time and size.

Knows nothing of what an answer means.
"""

import asyncio
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime

import msgspec

from tollway.domain.errors import ProviderFault
from tollway.domain.seams import HttpRequest, Transport
from tollway.upstream.http1.tunnel import ProxyRefused

CONNECT_S = 5.0  # for a name, a connection and TLS: what a router allows by default
ANSWER_S = 10.0  # for a list of models; a provider that takes longer is in trouble
BODY_BYTES_MAX = 16 << 20  # ten times the longest list of models

PROXIES = ("https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")  # as config/ reads them


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. `ahead_s` is how far this machine's clock is ahead of the sender's `Date` (to a second or so);
    None when it sent none."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    took_ms: int
    ahead_s: float | None


class Unreached(Exception):
    """No answer: why, and what to do about it."""

    def __init__(self, found: str, mend: str) -> None:
        super().__init__(found)
        self.found = found
        self.mend = mend


class NobodyListens(Unreached):
    """The machine is there, and refuses the connection."""


async def ask(transport: Transport, request: HttpRequest, within_s: float = ANSWER_S) -> Reply:
    """Raises Unreached."""
    began, wall = time.monotonic(), time.time()
    try:
        async with asyncio.timeout(within_s):
            answer = await transport.send(request)
            headed = time.monotonic() - began
            try:
                body = await _read(answer.read)
            finally:
                answer.close()
    except ProviderFault as fault:
        raise _unreached(fault) from fault
    except TimeoutError:
        raise Unreached(
            f"no answer within {within_s:g} s", "try again; if it stays so, look at the server and what is on the way"
        ) from None
    return Reply(
        status=answer.status,
        headers=answer.headers,
        body=body,
        took_ms=round((time.monotonic() - began) * 1000),
        ahead_s=_ahead(answer.headers.get("date"), wall + headed / 2),
    )


async def get(
    transport: Transport, url: str, headers: tuple[tuple[str, str], ...] = (), within_s: float = ANSWER_S
) -> Reply:
    """Raises Unreached."""
    request = HttpRequest(method="GET", url=url, headers=headers, body=b"", connect_timeout=CONNECT_S)
    return await ask(transport, request, within_s)


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, down to the system's own."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def certificate_trouble(error: ssl.SSLCertVerificationError) -> Unreached:
    why = error.verify_message
    if "expired" in why:
        mend = "renew the certificate there; or set this machine's clock if it is wrong"
    elif "match" in why:
        mend = "write the host that the certificate is for into the URL, or have one issued for this host"
    else:
        mend = "a server of your own: name its authority with SSL_CERT_FILE=...; else have it serve its whole chain"
    return Unreached(f"its TLS certificate is not accepted: {why.rstrip('.')}", mend)


async def _read(read: object) -> bytes:
    assert callable(read)
    parts: list[bytes] = []
    size = 0
    while data := await read():
        parts.append(data)
        size += len(data)
        if size > BODY_BYTES_MAX:
            break
    return b"".join(parts)[:BODY_BYTES_MAX]


def _ahead(date: str | None, local_s: float) -> float | None:
    """Seconds; a Date is cut to whole ones, so that its middle is half a second on."""
    if date is None:
        return None
    try:
        return local_s - (parsedate_to_datetime(date).timestamp() + 0.5)
    except (ValueError, OverflowError):
        return None


def _unreached(fault: ProviderFault) -> Unreached:
    # The client's own errors pass for the system's without having their fields.
    chain = [error for error in causes(fault) if type(error).__module__ in ("ssl", "socket", "builtins")]
    for found in causes(fault):
        if isinstance(found, ProxyRefused):
            return Unreached(str(found), f"look at the host and port in its URL{_proxied()}")
    for error in chain:
        if isinstance(error, ssl.SSLCertVerificationError):
            return certificate_trouble(error)
        if isinstance(error, ssl.SSLError):
            return Unreached(
                f"TLS fails ({error.reason or 'no reason given'})", "is this port served with TLS? Else write http://"
            )
        if isinstance(error, socket.gaierror):
            return Unreached(
                f"its host name doesn't resolve ({error.strerror})",
                f"look for a slip in the URL's host, and at this machine's DNS{_proxied()}",
            )
    for error in chain:
        if isinstance(error, ConnectionRefusedError):
            return NobodyListens("nothing listens there (connection refused)", "start that server, or correct the port")
        if isinstance(error, TimeoutError):
            return Unreached(
                f"no connection within {CONNECT_S:g} s", f"look at firewalls on the way, and at the URL{_proxied()}"
            )
    return Unreached("no answer that can be read: the connection broke off", f"look at that server's log{_proxied()}")


def _proxied() -> str:
    """What an operator behind a proxy has to know."""
    named = next((name for name in PROXIES if os.environ.get(name)), None)
    return "" if named is None else f", or at the proxy that {named} names (NO_PROXY says what is asked without it)"
