"""One client connection: reads requests with httptools and carries out the steps of their answers.

The only file that touches a socket. One answer at a time; a client that pipelines is cut off."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
from typing import cast

import httptools

from tollway.simulator import http
from tollway.simulator.control import play_control
from tollway.simulator.gates import Gate
from tollway.simulator.http import HttpMessage
from tollway.simulator.log import Exchange
from tollway.simulator.refusals import error_body
from tollway.simulator.script import Halt, Script
from tollway.simulator.service import Service
from tollway.simulator.ticker import Ticker

BODY_BYTES_MAX = 32 * 1024 * 1024  # above any router's own limit, so that the router's is what is tested
HEAD_BYTES_MAX = 64 * 1024
WRITE_BYTES = 64 * 1024  # what an unpaced stream gathers before it writes
LINGER_SECONDS = 5.0  # how long a refused upload may go on, so that its client gets to read why
FLUSH_SECONDS = 0.001  # how often a reset looks whether what came before it has gone

_RESET = struct.pack("ii", 1, 0)


def _unacknowledged(sock: socket.socket) -> int:
    """Bytes that the system has sent and the other side not yet confirmed (tcp(7), SIOCOUTQ)."""
    count = bytearray(4)
    fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, count)
    return int.from_bytes(count, sys.byteorder)


class Connection(asyncio.Protocol):
    def __init__(self, service: Service, ticker: Ticker, loop: asyncio.AbstractEventLoop, peers: set["Connection"]):
        self._service = service
        self._ticker = ticker
        self._loop = loop
        self._peers = peers
        self._transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._message = HttpMessage()
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._head_bytes = 0  # -1 once the head is complete
        self._complete = False
        self._refused = False
        self._exchange: Exchange | None = None
        self._script: Script | None = None
        self._gate: Gate | None = None
        self._due = 0.0
        self._paused = False
        self._owes_run = False

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._peers.discard(self)
        if self._gate is not None:
            self._gate.forget(self._resume)
            self._gate = None
        self._end("client_closed", client_closed=True)
        self._script = None

    def data_received(self, data: bytes) -> None:
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._refuse(400, f"not HTTP that the simulator speaks: {type(error).__name__}")
            return
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(431, f"headers are larger than {HEAD_BYTES_MAX} bytes")
        elif self._complete:
            self._complete = False
            self._answer()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._owes_run:
            self._owes_run = False
            self._resume()

    # --- httptools

    def on_url(self, url: bytes) -> None:
        self._message.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._message.headers.append((name, value))
        if len(name) == 10 and name.lower() == b"x-simulate":
            self._message.simulate = value
        elif len(name) == 6 and name.lower() == b"expect" and value.lower() == b"100-continue":
            self._transport.write(http.CONTINUE)

    def on_headers_complete(self) -> None:
        self._head_bytes = -1

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes <= BODY_BYTES_MAX:
            self._body.append(body)
        elif not self._refused:
            self._refuse(413, f"the body is larger than {BODY_BYTES_MAX} bytes")

    def on_message_complete(self) -> None:
        if self._refused:
            self._transport.close()
            return
        if self._complete or self._script is not None:
            self._end("refused", client_closed=False)
            self._transport.abort()
            return
        message, parser = self._message, self._parser
        message.method = parser.get_method()
        message.keep_alive = parser.should_keep_alive()
        message.modern = parser.get_http_version() == "1.1"
        message.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._complete = True

    # --- answering

    def abort(self) -> None:
        """The simulator stops."""
        self._end("stopped", client_closed=False)
        self._transport.abort()

    def _answer(self) -> None:
        message = self._message
        self._body = []
        self._body_bytes = 0
        if message.method == b"POST" and message.target.startswith(b"/v1/"):
            self._exchange, self._script = self._service.begin(message)
        else:
            self._script = play_control(self._service, message)
        self._due = self._loop.time()
        self._run()

    def _refuse(self, status: int, why: str) -> None:
        """Answer what can't be read, and close: at once, or when an upload is over."""
        if self._refused or self._transport.is_closing():
            return
        self._refused = True
        self._message.keep_alive = False
        self._body = []
        body = error_body(why, "invalid_request_error", None)
        self._transport.write(self._service.reply(self._message, status, body))
        if status == 413:
            self._ticker.at(self._loop.time() + LINGER_SECONDS, self._transport.abort)
        else:
            self._transport.close()

    def _resume(self) -> None:
        if self._script is None:
            return
        if self._gate is not None:
            self._gate = None
            self._due = self._loop.time()
        self._run()

    def _run(self) -> None:
        """Carry out steps until one has to be waited for."""
        out: list[bytes] = []
        size = 0
        for step in self._script or ():
            if isinstance(step, bytes):
                out.append(step)
                size += len(step)
                if size < WRITE_BYTES:
                    continue
                self._write(out)
                size = 0
                if self._paused:
                    self._owes_run = True
                    return
            elif isinstance(step, float):
                if self._waits(step, out):
                    return
            elif isinstance(step, Halt):
                self._write(out)
                self._halt(step)
                return
            elif not step.wait(self._resume):
                self._gate = step
                self._write(out)
                return

    def _waits(self, seconds: float, out: list[bytes]) -> bool:
        """Write and come back later; False when the script is behind its pace and must go on at once."""
        if seconds:
            self._due += seconds
            if self._due <= self._loop.time():
                return False
        self._write(out)
        if self._paused:
            self._owes_run = True
            self._due = self._loop.time()
        elif seconds:
            self._ticker.at(self._due, self._resume)
        else:
            self._loop.call_soon(self._resume)
        return True

    def _write(self, out: list[bytes]) -> None:
        if out and not self._transport.is_closing():
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))
        out.clear()

    def _halt(self, halt: Halt) -> None:
        if halt is Halt.SILENCE:
            return
        keep_alive = self._message.keep_alive
        self._end("complete", client_closed=False)
        self._script = None
        if halt is Halt.RESET:
            self._reset()
        elif halt is Halt.CLOSE or not keep_alive:
            self._transport.close()
        else:
            self._message = HttpMessage()
            self._head_bytes = 0

    def _reset(self) -> None:
        """RST: a close with zero linger (RFC 9293, 3.10.4), once the client's side has all that came before it: a reset
        throws away whatever is still on its way."""
        if self._transport.is_closing():
            return
        sock = self._transport.get_extra_info("socket")
        if self._transport.get_write_buffer_size() or _unacknowledged(sock):
            self._ticker.at(self._loop.time() + FLUSH_SECONDS, self._reset)
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    def _end(self, ended: str, *, client_closed: bool) -> None:
        if self._exchange is not None:
            self._service.finish(self._exchange, ended, client_closed=client_closed)
            self._exchange = None
