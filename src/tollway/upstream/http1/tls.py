"""TLS towards providers: what is verified, and sessions that are taken up again.

asyncio has no way to hand a session to a connection, ssl has: the object it makes for each connection may be of a class
of ours, which offers the session that its host gave last before the first handshake message. That spares the host a
signature and the way its certificates; of our own CPU it spares nothing that could be measured (1.1 ms a handshake).
"""

import asyncio
import ssl

SESSIONS_MAX = 256  # hosts


class ClientTls:
    """One context, made when it is first needed: reading the system's authorities takes some 70 ms, in a thread.

    `given` replaces them, and is changed to ask for HTTP/1.1 and to offer sessions."""

    def __init__(self, given: ssl.SSLContext | None = None) -> None:
        self._given = given
        self._sessions: dict[str, ssl.SSLSession] = {}  # the newest of each host
        self._context: ssl.SSLContext | None = None
        self._making: asyncio.Future[ssl.SSLContext] | None = None

    async def context(self) -> ssl.SSLContext:
        """Raises OSError when the authorities can't be read."""
        if self._context is None:
            if self._making is None:
                self._making = asyncio.ensure_future(asyncio.to_thread(self._make))
                self._making.add_done_callback(self._made)
            return await asyncio.shield(self._making)  # who gives up leaves it to the others
        return self._context

    def keep(self, connection: object) -> None:
        """The session of an `ssl.SSLObject` that has read since its handshake: TLS 1.3 sends it after that."""
        if isinstance(connection, ssl.SSLObject) and connection.session is not None and connection.server_hostname:
            if len(self._sessions) >= SESSIONS_MAX:
                self._sessions.clear()
            self._sessions[connection.server_hostname] = connection.session

    def _make(self) -> ssl.SSLContext:
        context = self._given if self._given is not None else ssl.create_default_context()
        context.set_alpn_protocols(["http/1.1"])
        sessions = self._sessions

        class Resuming(ssl.SSLObject):
            _offered = False

            def do_handshake(self) -> None:
                if not self._offered:
                    self._offered = True
                    if (known := sessions.get(self.server_hostname or "")) is not None:
                        self.session = known
                super().do_handshake()

        context.sslobject_class = Resuming
        return context

    def _made(self, making: "asyncio.Future[ssl.SSLContext]") -> None:
        self._making = None
        if not making.cancelled() and making.exception() is None:
            self._context = making.result()
