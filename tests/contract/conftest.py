"""Every store of the books in turn; and the transport on both event loops, the standard one and the one that serves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest
import uvloop

from helpers.ledger_homes import HOMES, Home
from helpers.postgres import Server
from tollway.domain.seams import Transport
from tollway.upstream.http1.transport import Http1Transport

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.stem.startswith("test_transport"):
        return LOOPS
    return {"asyncio": LOOPS["asyncio"]}


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Http1Transport()
    yield transport
    await transport.aclose()


@pytest.fixture(params=HOMES)
async def home(request: pytest.FixtureRequest, tmp_path: Path, postgres: Callable[[], Server]) -> AsyncIterator[Home]:
    home = HOMES[request.param](tmp_path, postgres)
    await home.open()
    yield home
    await home.close()
