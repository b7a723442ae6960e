"""What a running router can't take from a new configuration: what it opened at its start. Pure."""

from msgspec.structs import replace

from tollway.config.places import local_url, url
from tollway.config.schema import Config, Server


def kept(running: Config, wanted: Config) -> tuple[Config, tuple[str, ...]]:
    """`wanted` as far as it can be served without a restart, and the keys that wait for one."""
    waiting = []
    server, auth = wanted.server, wanted.auth
    if server.listen != running.server.listen:
        waiting.append("server.listen")
    if (server.tls is None) != (running.server.tls is None):
        waiting.append("server.tls_cert")
        server = replace(server, tls=running.server.tls)
    local, now = _local(wanted.server), _local(running.server)
    if server.public_url == local:  # where nothing else is said, it follows what is listened at
        server = replace(server, public_url=now)
        if auth.domains == (url(local).authority,):
            auth = replace(auth, domains=(url(now).authority,))
    server = replace(server, listen=running.server.listen)
    if wanted.ops.listen != running.ops.listen:
        waiting.append("ops.listen")
    if wanted.ledger.url != running.ledger.url:
        waiting.append("ledger.url")
    if wanted.ledger.keep_calls != running.ledger.keep_calls:
        waiting.append("ledger.keep_calls")
    if wanted.cluster != running.cluster:
        waiting.append("cluster")
    ledger = replace(running.ledger, keep_answers=wanted.ledger.keep_answers)
    served = replace(wanted, server=server, auth=auth, ops=running.ops, ledger=ledger, cluster=running.cluster)
    return served, tuple(waiting)


def _local(server: Server) -> str:
    return local_url(server.listen, tls=server.tls is not None)
