"""The operator's socket: how a ledger command reaches the process that owns an embedded ledger.

A Unix socket beside the database, mode 0600: who may open it is the operator. A line of JSON each way: a command as
tagged struct ({"type": "Credit", ...}), then its result, or {"type": "Fault"}. Knows nothing of what commands do.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import sys
from pathlib import Path

import msgspec

from tollway.domain.commands import Credit, Pay, Result, Reverse, SetFrozen, SetProvider
from tollway.domain.errors import LedgerLocked, LedgerOutcomeUnknown, LedgerUnavailable, LedgerUnusable
from tollway.domain.seams import Ledger
from tollway.ledger.sqlite.database import true_path
from tollway.wire import json

ControlCommand = Credit | SetProvider | SetFrozen | Reverse | Pay  # the commands an operator may send

# sun_path has 108 bytes on Linux and 104 elsewhere, the closing zero among them.
SOCKET_PATH_BYTES_MAX = 107 if sys.platform == "linux" else 103
LINE_BYTES_MAX = 64 * 1024  # a command is a few hundred bytes
CONNECTIONS_MAX = 16  # operators at once
IDLE_S_MAX = 10.0  # for a line to come, and to be taken


class Fault(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Why a line was not carried out."""

    code: str  # invalid_command, too_many_connections, ledger_unavailable, ledger_outcome_unknown
    message: str


_read_command = json.decoder(ControlCommand)
_read_result = json.decoder(Result | Fault)


class ControlUnreachable(LedgerUnusable):
    """Nobody listens: no router runs on this ledger."""


def socket_path(database: Path) -> Path:
    """Where the socket of the ledger at `database` is. LedgerUnusable when the system can't take a path that long."""
    file = true_path(database)
    path = file.with_name(file.name + ".sock")
    length = len(os.fsencode(path))
    if length > SOCKET_PATH_BYTES_MAX:
        raise LedgerUnusable(
            f"The control socket's path has {length} bytes, at most {SOCKET_PATH_BYTES_MAX} are possible: {path}. "
            "Move the ledger to a shorter path."
        )
    return path


class ControlServer:
    """Carries out what operators send to the ledger at `database`. Its owner holds the ledger's lock."""

    def __init__(self, ledger: Ledger, database: Path) -> None:
        """LedgerUnusable when the path is too long."""
        self._ledger = ledger
        self._path = socket_path(database)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. LedgerUnusable when that can't be: another listens there, or the place is taken by something else."""
        listener = _bind(self._path)
        self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=LINE_BYTES_MAX)

    async def aclose(self) -> None:
        """Stop listening, drop connections, remove the socket. Safe to call twice."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        self._path.unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "called in a task"
        self._tasks.add(task)
        try:
            if len(self._tasks) > CONNECTIONS_MAX:
                await _send(writer, Fault(code="too_many_connections", message="Too many operators: try again."))
                return
            await self._converse(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):
            pass  # the operator left, fell silent, or we stop
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_S_MAX):
                    line = await reader.readline()
            except ValueError:  # longer than the limit: what follows can't be told apart
                await _send(
                    writer, Fault(code="invalid_command", message=f"A line has at most {LINE_BYTES_MAX} bytes.")
                )
                return
            if not line.endswith(b"\n"):
                return
            await _send(writer, await self._answer(line))

    async def _answer(self, line: bytes) -> Result | Fault:
        try:
            command = _read_command(line)
        except ValueError as error:
            return Fault(code="invalid_command", message=f"Not a command this socket carries: {error}")
        try:
            return (await self._ledger.apply([command]))[0]
        except LedgerUnavailable as error:
            return Fault(code=error.code, message=error.message)
        except LedgerOutcomeUnknown as error:
            return Fault(code="ledger_outcome_unknown", message=str(error))


async def control(database: Path, command: ControlCommand) -> Result:
    """Send one command to the router that owns the ledger at `database`.

    Raises ControlUnreachable, LedgerUnavailable, LedgerOutcomeUnknown, or LedgerUnusable when it answers nonsense."""
    path = socket_path(database)
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise ControlUnreachable(f"No router listens at {path}.") from error
    except OSError as error:
        raise LedgerUnusable(f"The control socket {path} can't be used ({error}): are you its owner?") from error
    try:
        async with asyncio.timeout(IDLE_S_MAX):
            writer.write(json.encode(command) + b"\n")
            line = await reader.readline()
    except (OSError, TimeoutError, ValueError) as error:
        raise LedgerOutcomeUnknown("the router did not answer") from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return _read_answer(line)


def _read_answer(line: bytes) -> Result:
    if not line:
        raise LedgerOutcomeUnknown("the router closed the connection without an answer")
    try:
        answer: Result | Fault = _read_result(line)
    except ValueError as error:
        raise LedgerUnusable(f"The router's answer is not understood ({error}): is it of another version?") from error
    if not isinstance(answer, Fault):
        return answer
    if answer.code == "ledger_outcome_unknown":
        raise LedgerOutcomeUnknown(answer.message)
    if answer.code == "invalid_command":
        raise LedgerUnusable(answer.message)
    raise LedgerUnavailable(answer.message)


def _bind(path: Path) -> socket.socket:
    """A socket bound to `path` that only its owner may open. A file that a dead process left is replaced."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            listener.bind(os.fspath(path))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            _remove_stale(path)
            listener.bind(os.fspath(path))
        # Nobody can connect before listen(), so the mode is right before it matters.
        path.chmod(0o600)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise LedgerUnusable(
            f"The control socket {path} can't be made ({error}): check the folder's rights."
        ) from error
    except BaseException:
        listener.close()
        raise
    return listener


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise LedgerUnusable(f"{path} is in the way of the control socket and is no socket: move it away.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise LedgerLocked(f"Another process listens at {path}: it owns this ledger.")


async def _send(writer: asyncio.StreamWriter, answer: Result | Fault) -> None:
    writer.write(json.encode(answer) + b"\n")
    async with asyncio.timeout(IDLE_S_MAX):
        await writer.drain()
