"""One client's connection: requests read strictly, one after another, and their answers in the same order.

A request's head has a limit, a deadline and one meaning; what is no HTTP is answered in the shape of every other error,
after the answers to what came before it; and who asks for another protocol is served over this one. It knows bytes and
time, not what is asked for.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple, cast

import httptools

from tollway.domain.errors import HeadersTooLarge, RequestError, RequestTimeout, TollwayError
from tollway.domain.outbox import Outbox
from tollway.server.exchange import App, Exchange, Scope, place
from tollway.server.head import Header, Target, complaint, expects_continue, framing

NO_HTTP = "This is no valid HTTP/1.1 request."
KEEP_ALIVE_S = 75  # an idle connection; longer than most clients' own limit, so that they close first
ORDINARY_TARGET_BYTES = 1_024  # of a longer one the limit is looked up, and it is not kept for the next request
WAITING_MAX = 64  # requests that came behind one that is being answered
CODING_BYTES_MAX = 64 << 10  # what chunks may cost beside their content, and
CODING_BYTES_EACH = 16  # for each byte of it: a byte in a chunk of its own costs 5

NEVER = float("inf")


class HeadLimits(NamedTuple):
    """`seconds` are for a head that has begun, and for the first one to begin."""

    bytes: int
    seconds: float


class Site(NamedTuple):
    """What the connections of one listening socket have in common. `limits` is asked for each head: they may change."""

    app: App
    limits: Callable[[], HeadLimits]
    refusal: Callable[[TollwayError], bytes]  # an error as a whole answer, after which the connection closes
    date: Callable[[], bytes]  # a header line
    connections: "set[Connection]"
    tasks: set[asyncio.Task[None]]
    empty: asyncio.Event  # set when the last connection is gone
    outbox: Outbox


class Refused(Exception):
    """Raised to the parser, which then reads no further."""


class Connection(asyncio.Protocol):
    __slots__ = (
        "_armed",
        "_begun",
        "_client",
        "_coding",
        "_drain",
        "_due",
        "_fields",
        "_head_bytes",
        "_headers",
        "_last_word",
        "_loop",
        "_newest",
        "_parser",
        "_reading_paused",
        "_repeating",
        "_scheme",
        "_server",
        "_site",
        "_target",
        "_timer",
        "_turn",
        "_url",
        "_waiting",
        "_wrong",
        "resumes",
        "transport",
        "write",
        "write_paused",
    )

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = cast(asyncio.Transport, None)
        self.write: Callable[[bytes], object] = len  # to the transport, once there is one
        self.write_paused = False
        self.resumes = 0  # times that what waited to be written was taken, after there had been too much of it
        self._site = site
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._target = Target(b"", "", b"", b"")  # of the request before, which mostly asked for the same
        self._fields: list[bytes] = []  # names and values by turns, as they come; trailers too
        self._headers: list[Header] = []  # of the newest request
        self._head_bytes = -1  # of a head that is arriving; -1 when none is
        self._begun = 0  # heads, in what is being read
        self._coding = 0  # bytes of a body's chunks beside their content; less than none for what they may be
        self._newest: Exchange | None = None  # the request that was read last, or is being read
        self._turn: Exchange | None = None  # the one that is being answered, or was last
        self._waiting: deque[Exchange] = deque()  # for their turn
        self._wrong: TollwayError | None = None  # what a callback found, for the one who fed the parser
        self._last_word: TollwayError | None = None  # said when all that came before it is answered: nothing is read
        self._repeating = False  # the parser is shown a head that has been read already
        self._reading_paused = False
        self._drain: list[asyncio.Future[None]] = []
        # One timer, armed at first and left to fire early: what a request costs is an assignment.
        self._due = NEVER
        self._armed = NEVER
        self._timer: asyncio.TimerHandle | None = None

    # --- the socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.write = partial(self._site.outbox.write, self.transport)
        self._site.connections.add(self)
        self._scheme = "http" if transport.get_extra_info("sslcontext") is None else "https"
        self._client = place(transport.get_extra_info("peername"))
        self._server = place(transport.get_extra_info("sockname"))
        self._expect(self._site.limits().seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._site.connections.discard(self)
        if not self._site.connections:
            self._site.empty.set()
        self._last_word = self._last_word or RequestError(NO_HTTP)  # nothing is read
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._waiting.clear()
        if self._turn is not None:
            self._turn.gone()
        self.resume_writing()

    def eof_received(self) -> None:
        self._site.outbox.release()  # for the transport closes now

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        self.resumes += 1
        for waiter in self._drain:
            if not waiter.done():
                waiter.set_result(None)
        self._drain.clear()

    async def drained(self) -> None:
        while self.write_paused:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._drain.append(waiter)
            await waiter

    def data_received(self, data: bytes) -> None:
        if self._last_word is not None:
            return
        # A head that begins behind something else is counted from the next read on: a read is small, 256 KiB at most.
        goes_on, in_body = self._head_bytes >= 0, self._newest is not None and self._newest.more_body
        self._begun = 0
        if in_body:
            self._coding += len(data)
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(self._wrong or RequestError(NO_HTTP))
            return
        if self._head_bytes >= 0:
            if (goes_on or not in_body) and self._begun == (0 if goes_on else 1):
                self._head_bytes += len(data)
            if self._head_bytes > (most := self._site.limits().bytes):
                self._refuse(HeadersTooLarge(f"The request's headers are over {most} bytes."))
            elif not goes_on:
                self._expect(self._site.limits().seconds)
        elif in_body and self._coding > CODING_BYTES_MAX:
            self._refuse(RequestError(f"{NO_HTTP} Its body is cut into too many pieces."))
        else:
            self._rest()

    # --- the parser's side

    def on_message_begin(self) -> None:
        if not self._repeating:
            self._head_bytes = 0
            self._begun += 1
            self._url = b""
            self._fields = []

    def on_url(self, url: bytes) -> None:
        if not self._repeating:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += name, value

    def on_headers_complete(self) -> None:
        if self._repeating:
            return
        self._head_bytes = -1
        # What comes behind a body (RFC 9110, 6.5) is no header: it must not be taken for a sign-in, or for an address.
        fields, self._fields = self._fields, []
        self._headers = list(zip(map(bytes.lower, fields[::2]), map(bytes.rstrip, fields[1::2]), strict=True))
        version, by_name = self._parser.get_http_version(), dict(self._headers)
        if len(self._url) > ORDINARY_TARGET_BYTES and len(self._url) > (most := self._site.limits().bytes):
            self._wrong = HeadersTooLarge(f"The request's address is over {most} bytes.")
        elif (wrong := complaint(version, self._url, self._headers, by_name)) is not None:
            self._wrong = RequestError(f"{NO_HTTP} {wrong}")
        elif len(self._waiting) >= WAITING_MAX:
            self._wrong = RequestError(f"Over {WAITING_MAX} requests wait for their answers on one connection.")
        if self._wrong is not None:
            raise Refused
        exchange = self._exchange(version == "1.1", by_name)
        self._newest = exchange
        self._coding = 0
        if self._turn is None or self._turn.complete:
            self._begin(exchange)
        else:
            self._waiting.append(exchange)
            self._pause_reading()

    def on_body(self, body: bytes) -> None:
        assert self._newest is not None, "a body has a head"
        self._coding -= len(body) * (CODING_BYTES_EACH + 1)
        if self._newest.feed(body):
            self._pause_reading()

    def on_message_complete(self) -> None:
        if not self._parser.should_upgrade():  # else its body is still to come, see `_parse`
            assert self._newest is not None, "a body has a head"
            self._newest.fed()

    def _parse(self, data: bytes) -> None:
        """Feed the parser. It takes a request that asks for another protocol for one without a body; we have none to
        change to, and what follows is its body as ever (RFC 9110, 7.8): another parser is shown how it is framed."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
            else:
                return
            self._parser = httptools.HttpRequestParser(self)
            self._repeating = True
            self._parser.feed_data(framing(self._headers))
            self._repeating = False

    def _exchange(self, modern: bool, by_name: Mapping[bytes, bytes]) -> Exchange:
        target = self._target
        if target.url != self._url:
            target = Target.of(self._url)
            if len(self._url) <= ORDINARY_TARGET_BYTES:
                self._target = target
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1" if modern else "1.0",
            "method": self._parser.get_method().decode("ascii"),
            "scheme": self._scheme,
            "path": target.path,
            "raw_path": target.raw_path,
            "query_string": target.query,
            "root_path": "",
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
        }
        expects = modern and b"expect" in by_name and expects_continue(self._headers)
        keep_alive = modern and self._parser.should_keep_alive()
        exchange = Exchange(self, scope, modern=modern, keep_alive=keep_alive, expects=expects)
        scope["extensions"] = {"tollway.client": exchange}
        return exchange

    # --- what its server asks

    @property
    def resting_since(self) -> float | None:
        """When its last request was answered, or a head came to be awaited, in the loop's time; None while a request is
        under way, or the connection closes."""
        turn, due = self._turn, self._due
        if due == NEVER or self.transport.is_closing() or (turn is not None and not turn.complete):
            return None
        return due - (KEEP_ALIVE_S if turn is not None and self._head_bytes < 0 else self._site.limits().seconds)

    @property
    def settled(self) -> bool:
        """Nothing is written for now but what is waiting: the answer is whole, or can't go on."""
        return self.write_paused or self._turn is None or self._turn.complete or self.transport.is_closing()

    # --- the exchanges' side

    def answered(self, exchange: Exchange) -> None:
        """The one whose turn it was has its answer."""
        if not exchange.keep_alive:
            self.close()
        elif self._waiting:
            self._begin(self._waiting.popleft())
        elif self._last_word is not None:
            self._say(self._last_word)
        else:
            self._rest()
        if not self._waiting:
            self.resume_reading()

    def resume_reading(self) -> None:
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    def refusal(self, error: TollwayError) -> bytes:
        return self._site.refusal(error)

    def date(self) -> bytes:
        return self._site.date()

    def shut_down(self) -> None:
        """The server stops: what is being answered is answered."""
        self._waiting.clear()
        if self._turn is None or self._turn.complete:
            self.close()
        else:
            self._turn.keep_alive = False

    def _begin(self, exchange: Exchange) -> None:
        self._turn = exchange
        task = self._loop.create_task(exchange.run(self._site.app))
        self._site.tasks.add(task)
        task.add_done_callback(self._site.tasks.discard)

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    def _refuse(self, error: TollwayError) -> None:
        """Read nothing more; answer once whatever came whole before this has been answered, and close."""
        self._due = NEVER
        self._last_word = error
        newest = self._newest
        if newest is not None and newest.more_body and not newest.complete:  # and the rest of it won't come
            if newest is not self._turn:
                self._waiting.pop()  # it has not begun
            else:
                newest.gone()  # whoever reads its body finds the client gone, and nothing that it is answered is sent
                if newest.started:
                    self.close()
                    return
                newest.complete = True
        if self._turn is None or self._turn.complete:
            self._say(error)

    def _say(self, error: TollwayError) -> None:
        if not self.transport.is_closing():
            self.write(self._site.refusal(error))
            self.close()

    def close(self) -> None:
        """Once what is written is taken, that which is still in the outbox too."""
        self._last_word = self._last_word or RequestError(NO_HTTP)  # nothing more is read
        self._site.outbox.release()
        self.transport.close()

    # --- time

    def _rest(self) -> None:
        """Between requests, or what is left of an answered one keeps coming."""
        turn = self._turn
        if turn is None:
            return
        if not turn.complete:
            self._due = NEVER
        elif self._due == NEVER or (self._newest is turn and not turn.more_body):
            self._expect(KEEP_ALIVE_S)

    def _expect(self, seconds: float) -> None:
        """What is awaited now has so much time."""
        self._due = self._loop.time() + seconds
        if self._due < self._armed:
            if self._timer is not None:
                self._timer.cancel()
            self._arm()

    def _arm(self) -> None:
        self._armed = self._due
        self._timer = self._loop.call_at(self._due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._armed = None, NEVER
        if self._due == NEVER or self.transport.is_closing():
            return
        if self._loop.time() < self._due:
            self._arm()
        elif self._head_bytes < 0:
            self.close()  # nothing was said, so there is nothing to answer
        else:
            seconds = self._site.limits().seconds
            self._refuse(RequestTimeout(f"The request's headers took over {seconds:g} seconds: send it again."))
