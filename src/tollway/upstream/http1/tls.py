"""TLS towards providers: what is verified, and sessions that are taken up again.

asyncio has no way to hand a session to a connection, ssl has: the object it makes for each connection may be of a class
of ours, which offers the session that its host gave last before the first handshake message.
"""

import ssl

SESSIONS_MAX = 256  # hosts


class Sessions:
    """The newest session of each host, of one context."""

    def __init__(self) -> None:
        self._by_host: dict[str, ssl.SSLSession] = {}

    def keep(self, connection: object) -> None:
        """The session of an `ssl.SSLObject` that has read since its handshake: TLS 1.3 sends it after that."""
        if isinstance(connection, ssl.SSLObject) and connection.session is not None and connection.server_hostname:
            if len(self._by_host) >= SESSIONS_MAX:
                self._by_host.clear()
            self._by_host[connection.server_hostname] = connection.session

    def of(self, host: str | None) -> ssl.SSLSession | None:
        return None if host is None else self._by_host.get(host)


def client_context(given: ssl.SSLContext | None, sessions: Sessions) -> ssl.SSLContext:
    """`given`, or one that trusts the system's certificate authorities; checks host names, asks for HTTP/1.1."""
    context = given if given is not None else ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])

    class Resuming(ssl.SSLObject):
        _offered = False

        def do_handshake(self) -> None:
            if not self._offered:
                self._offered = True
                if (known := sessions.of(self.server_hostname)) is not None:
                    self.session = known
            super().do_handshake()

    context.sslobject_class = Resuming
    return context
