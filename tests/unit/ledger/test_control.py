"""The operator's socket: who may open it, what it carries, and what it answers to anything else."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from helpers.ledgers import HandClock, credit, hold
from tollway.domain.commands import Command, Credited, Disabled, ProviderSet, Refused, Result, SetProvider
from tollway.domain.errors import LedgerLocked, LedgerOutcomeUnknown, LedgerUnavailable, LedgerUnusable
from tollway.ledger import control as controls
from tollway.ledger.control import LINE_BYTES_MAX, ControlServer, ControlUnreachable, control, socket_path
from tollway.ledger.memory import MemoryLedger
from tollway.wire import json


class MoodyLedger(MemoryLedger):
    mood: Exception | None = None

    async def apply(self, commands: list[Command]) -> list[Result]:  # type: ignore[override]
        if self.mood is not None:
            raise self.mood
        return await super().apply(commands)


class Setting:
    def __init__(self, database: Path) -> None:
        self.database = database
        self.socket = socket_path(database)
        self.ledger = MoodyLedger(HandClock())
        self.server = ControlServer(self.ledger, database)

    async def say(self, *lines: bytes) -> list[bytes]:
        """Send raw lines; what comes back until the server closes or all are answered."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        writer.write(b"".join(lines))
        answers = [await asyncio.wait_for(reader.readline(), 5) for _ in lines]
        writer.close()
        await writer.wait_closed()
        return answers


@pytest.fixture
async def setting(tmp_path: Path) -> AsyncIterator[Setting]:
    setting = Setting(tmp_path / "books.db")
    await setting.server.start()
    yield setting
    await setting.server.aclose()


async def test_a_command_sent_through_the_socket_is_booked(setting: Setting) -> None:
    assert await control(setting.database, credit(70, id="x")) == Credited(available=70)
    assert await control(setting.database, credit(71, id="x")) == Refused(reason="id_reused")


async def test_a_provider_is_taken_out_of_service_through_the_socket(setting: Setting) -> None:
    off = Disabled(since_ms=1, why="errors since noon")
    assert await control(setting.database, SetProvider(provider="a", disabled=off)) == ProviderSet()
    assert await setting.ledger.disabled() == {"a": off}
    assert await control(setting.database, SetProvider(provider="a", disabled=None)) == ProviderSet()
    assert await setting.ledger.disabled() == {}


async def test_a_connection_carries_several_commands(setting: Setting) -> None:
    line = json.encode(credit(5, id="x")) + b"\n"
    first, second = await setting.say(line, line)
    assert first == second == b'{"type":"Credited","available":5}\n'


async def test_only_its_owner_may_open_the_socket(setting: Setting) -> None:
    assert stat.S_IMODE(setting.socket.stat().st_mode) == 0o600
    assert setting.socket == setting.database.with_name("books.db.sock")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"credit",
        b"{}",
        b"\xff\xfe",
        b"[" * 5000,
        b'{"type":"Void","id":"x"}',
        json.encode(hold(1)),
        json.encode(credit(1)).replace(b"1,", b'"1",'),
    ],
)
async def test_anything_but_a_command_it_carries_is_a_fault_and_the_next_line_is_heard(
    setting: Setting, line: bytes
) -> None:
    fault, answer = await setting.say(line + b"\n", json.encode(credit(5)) + b"\n")
    assert json.decode(fault)["type"] == "Fault" and json.decode(fault)["code"] == "invalid_command"
    assert json.decode(answer) == {"type": "Credited", "available": 5}


async def test_a_line_over_the_limit_ends_the_connection(setting: Setting) -> None:
    fault, nothing = await setting.say(b"x" * (LINE_BYTES_MAX + 1) + b"\n", b"")
    assert json.decode(fault)["code"] == "invalid_command"
    assert nothing == b""


async def test_a_line_without_its_end_is_not_carried_out(setting: Setting) -> None:
    _, writer = await asyncio.open_unix_connection(setting.socket)
    writer.write(json.encode(credit(5, id="x")))
    writer.close()
    await writer.wait_closed()
    assert await control(setting.database, credit(6, id="x")) == Credited(available=6)


async def test_operators_beyond_the_limit_are_turned_away(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "CONNECTIONS_MAX", 1)
    reader, writer = await asyncio.open_unix_connection(setting.socket)
    writer.write(json.encode(credit(5)) + b"\n")
    await reader.readline()
    with pytest.raises(LedgerUnavailable, match="Too many"):
        await control(setting.database, credit(5))
    writer.close()
    await writer.wait_closed()


async def test_a_silent_operator_is_dropped(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controls, "IDLE_S_MAX", 0.01)
    assert await setting.say(b"") == [b""]


@pytest.mark.parametrize("error", [LedgerUnavailable("later"), LedgerOutcomeUnknown("who knows")])
async def test_the_ledgers_errors_reach_the_operator(setting: Setting, error: Exception) -> None:
    setting.ledger.mood = error
    with pytest.raises(type(error), match=str(error)):
        await control(setting.database, credit(5))


async def test_no_router_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ControlUnreachable):
        await control(tmp_path / "books.db", credit(5))


async def test_closing_ends_connections_and_removes_the_socket(setting: Setting) -> None:
    reader, writer = await asyncio.open_unix_connection(setting.socket)
    writer.write(json.encode(credit(5)) + b"\n")
    await reader.readline()
    await setting.server.aclose()
    await setting.server.aclose()
    assert await asyncio.wait_for(reader.read(), 5) == b""
    writer.close()
    assert not setting.socket.exists()


async def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    setting = Setting(tmp_path / "books.db")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(setting.socket))
    with pytest.raises(ControlUnreachable):
        await control(setting.database, credit(5))
    await setting.server.start()
    assert await control(setting.database, credit(5)) == Credited(available=5)
    await setting.server.aclose()


async def test_a_socket_that_is_listened_at_is_not_taken(setting: Setting) -> None:
    with pytest.raises(LedgerLocked):
        await ControlServer(setting.ledger, setting.database).start()
    assert await control(setting.database, credit(5)) == Credited(available=5)


async def test_another_file_in_the_sockets_place_is_not_removed(tmp_path: Path) -> None:
    setting = Setting(tmp_path / "books.db")
    setting.socket.write_text("precious")
    with pytest.raises(LedgerUnusable, match="in the way"):
        await setting.server.start()
    assert setting.socket.read_text() == "precious"


async def test_a_path_too_long_for_a_socket_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="at most 10"):
        ControlServer(MemoryLedger(HandClock()), tmp_path / ("d" * 100) / "books.db")


async def test_a_folder_that_takes_no_socket_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match="can't be made"):
        await ControlServer(MemoryLedger(HandClock()), tmp_path / "nowhere" / "books.db").start()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", LedgerOutcomeUnknown),
        (b"nonsense\n", LedgerUnusable),
        (b'{"type":"Fault","code":"invalid_command","message":"m"}\n', LedgerUnusable),
    ],
)
async def test_a_router_of_another_kind_is_not_believed(tmp_path: Path, answer: bytes, error: type[Exception]) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        writer.close()

    database = tmp_path / "books.db"
    server = await asyncio.start_unix_server(serve, socket_path(database))
    with pytest.raises(error):
        await control(database, credit(5))
    server.close()
    await server.wait_closed()


async def test_a_router_that_does_not_answer_may_have_booked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(controls, "IDLE_S_MAX", 0.01)
    database = tmp_path / "books.db"
    server = await asyncio.start_unix_server(serve, socket_path(database))
    with pytest.raises(LedgerOutcomeUnknown):
        await control(database, credit(5))
    server.close()
    await server.wait_closed()


async def test_a_socket_of_another_owner_is_named(tmp_path: Path) -> None:
    database = tmp_path / "books.db"
    socket_path(database).mkdir()
    with pytest.raises(LedgerUnusable):
        await control(database, credit(5))
