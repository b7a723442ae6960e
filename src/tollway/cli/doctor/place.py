"""Where callers come in: is the address free or ours, and does the public URL lead to this very router?

Asks what any caller may ask; signs in to nothing.
"""

import asyncio
import datetime as dt
import errno
import hashlib
import re
import socket
import ssl
from contextlib import closing, suppress

import msgspec

from tollway.cli.doctor.ask import ANSWER_S, CONNECT_S, Reply, Unreached, certificate_trouble, get
from tollway.cli.doctor.finding import Area, Finding
from tollway.cli.serve import bind
from tollway.config.places import Address, Url, is_loopback, local_url, url
from tollway.config.schema import Config
from tollway.domain.seams import Transport
from tollway.wire import json

CERTIFICATE_DAYS_LOW = 14  # whoever renews by itself does so at 30; below this it has stopped doing so

_CHALLENGE = re.compile(r'Sign-In-With-X domain="([^"]{1,300})"')


class Router(msgspec.Struct, frozen=True):
    """What tells one router from another: the domain it asks to sign in to, and its models with its start."""

    domain: str
    mark: str


async def listen(config: Config, transport: Transport) -> tuple[list[Finding], Router | None]:
    """What is to be said of the addresses that a start would take, and the router that is there already."""
    area = Area("listen")
    place = config.server.listen
    ours: Router | None = None
    if (taken := _taken(area, "server.listen", place)) is not None:
        # Its certificate is for the name that callers use, not for this address.
        base = local_url(place) if config.server.tls is None else config.server.public_url
        with suppress(Unreached):
            ours = await router_at(transport, base)
        if ours is not None and ours.domain in config.auth.domains:
            await _ready(area, base, place, transport)
        else:
            ours = None
            area.problem("server.listen", f"{taken}: {place}", "stop what listens there, or choose another port")
    if config.ops.listen is not None and (taken := _taken(area, "ops.listen", config.ops.listen)) is not None:
        if ours is not None:
            area.ok("ops.listen", f"{config.ops.listen} is taken, most likely by the router that runs")
        else:
            area.problem("ops.listen", f"{taken}: {config.ops.listen}", "choose another port")
    return area.findings, ours


async def public(config: Config, ours: Router | None, transport: Transport) -> tuple[list[Finding], Reply | None]:
    """What is to be said of server.public_url, and its answer. `ours` is the router that runs on this machine."""
    area, place = Area("public URL"), url(config.server.public_url)
    text = config.server.public_url
    if place.authority not in config.auth.domains:
        area.problem(
            text,
            f"callers will sign in to {place.authority}, which auth.domains lacks: each is refused (wrong_domain)",
            f'add "{place.authority}" to auth.domains',
        )
    if place.scheme == "https":
        if not await _certificate(area, text, place):
            return area.findings, None
    elif is_loopback(place.host):
        area.ok(text, "for callers on this machine alone")
    else:
        area.warning(
            text,
            "plain http: whoever is on the way can read sign-ins, and spend with them",
            "put TLS in front of the router, and write the https URL",
        )
    if ours is None and is_loopback(place.host):
        return area.findings, None  # where it would listen; `listen` says what is there
    return await _reached(area, text, config, ours, transport)


async def router_at(transport: Transport, base: str) -> Router | None:
    """The router at `base`; None when what answers is none. Raises Unreached."""
    refused = await get(transport, f"{base}/api/v1/session/balance")
    match = _CHALLENGE.match(refused.headers.get("www-authenticate", ""))
    if refused.status != 401 or match is None:
        return None
    models = await get(transport, f"{base}/api/v1/models")
    return Router(match[1], _mark(models.body))


async def _reached(
    area: Area, text: str, config: Config, ours: Router | None, transport: Transport
) -> tuple[list[Finding], Reply | None]:
    try:
        health = await get(transport, f"{text}/healthz")
        there = await router_at(transport, text)
    except Unreached as why:
        if ours is None:
            area.skipped(text, f"no router runs, and {why.found}", "start the router, then look again")
        else:
            area.problem(text, f"the router runs, but this doesn't lead to it: {why.found}", why.mend)
        return area.findings, None
    if there is None and ours is None:
        area.skipped(
            text, f"no router runs; what stands before it answers (status {health.status})", "start it, then look again"
        )
    elif there is None:
        area.problem(
            text,
            f"what answers there (status {health.status}) is no Tollway router",
            f"have the proxy pass every path on to {config.server.listen}",
        )
    elif ours is None:
        area.warning(text, "a router answers there that is not at server.listen here", "is this its configuration?")
    elif there != ours:
        area.warning(
            text,
            "leads to another router than the one at server.listen",
            f"have it lead to {config.server.listen}; with several routers behind it this is as it should be",
        )
    else:
        area.ok(text, f"leads to this router, in {health.took_ms} ms")
    return area.findings, health


async def _ready(area: Area, base: str, place: Address, transport: Transport) -> None:
    try:
        reply = await get(transport, f"{base}/readyz")
    except Unreached as why:
        area.problem("server.listen", f"our router has {place}, but {why.found}", why.mend)
        return
    if reply.status == 200:
        area.ok("server.listen", f"our router has {place}, and takes calls")
    else:
        area.problem(
            "server.listen", f"our router has {place}, but takes no calls: {_status(reply)}", "look at its log"
        )


async def _certificate(area: Area, text: str, place: Url) -> bool:
    """Whether TLS works there; how long its certificate is good for."""
    port = place.authority.rpartition(":")[2] if re.search(r":\d+\Z", place.authority) else "443"
    try:
        async with asyncio.timeout(CONNECT_S + ANSWER_S):
            _, writer = await asyncio.open_connection(place.host, int(port), ssl=ssl.create_default_context())
        try:
            tls = writer.get_extra_info("ssl_object")
            until = ssl.cert_time_to_seconds(tls.getpeercert()["notAfter"])
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
    except ssl.SSLCertVerificationError as error:
        why = certificate_trouble(error)
        area.problem(text, why.found, why.mend)
        return False
    except ssl.SSLError as error:
        area.problem(text, f"TLS fails ({error.reason})", "is that port served with TLS?")
        return False
    except socket.gaierror as error:
        area.problem(
            text, f"its host name doesn't resolve ({error.strerror})", "make a DNS record for it, or correct it"
        )
        return False
    except (OSError, TimeoutError):
        return True  # _reached says what that means
    days = (dt.datetime.fromtimestamp(until, dt.UTC) - dt.datetime.now(dt.UTC)).days
    if days < CERTIFICATE_DAYS_LOW:
        area.warning(text, f"its TLS certificate ends in {days} days", "renew it; see why it wasn't renewed by itself")
    else:
        area.ok(text, f"its TLS certificate is good for {days} more days")
    return True


def _taken(area: Area, key: str, place: Address) -> str | None:
    """Why `place` can't be listened at since it is taken; None when it is free, or when something else is said."""
    try:
        with closing(bind(place)):
            area.ok(key, f"{place} is free" if place.port else f"{place}: any free port")
            return None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return "something else listens there"
        if error.errno == errno.EACCES:
            mend = "use a port from 1024 on, with a proxy before it; or give the process CAP_NET_BIND_SERVICE"
        elif error.errno == errno.EADDRNOTAVAIL:
            mend = "write an address of this machine, or 0.0.0.0 for all of them"
        else:
            mend = "write an address and port of this machine"
        area.problem(key, f"can't listen at {place}: {error.strerror}", mend)
        return None


def _mark(models: bytes) -> str:
    """The same for two answers of one router, however healthy its providers are meanwhile."""
    try:
        listed = json.decode(models)["data"]
        told = json.encode([[model["id"], model["created"]] for model in listed])
    except (ValueError, KeyError, TypeError):
        told = models
    return hashlib.sha256(told).hexdigest()


def _status(reply: Reply) -> str:
    try:
        return str(json.decode(reply.body)["status"])[:100]
    except (ValueError, KeyError, TypeError):
        return f"status {reply.status}"
