"""What holds for every test: the marks `node`, `model` and `nginx` skip a test, or fail it, before it starts; no
package that a test imports changes what the router runs under; and only a room's own tests count as covering it."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from helpers.postgres import Server, any_server
from helpers.require import REQUIREMENTS
from helpers.valkey import Valkey, one_valkey

RECURSION_LIMIT = sys.getrecursionlimit()
UNIT_TESTS = Path(__file__).parent / "unit"
PURE_ROOMS = [UNIT_TESTS / room for room in ("auth", "intake", "ledger", "limits", "metering", "routing", "wire")]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave coverage (--cov) off wherever it isn't asked for, since it makes a test run at half its speed."""
    for item in items:
        if not any(item.path.is_relative_to(room) for room in PURE_ROOMS):
            item.add_marker(pytest.mark.no_cover)


def pytest_runtest_setup(item: pytest.Item) -> None:
    # py_ecc, which eth-account brings, raises the limit to 100,000 when it is imported: a runaway recursion would then
    # end the process instead of a test.
    sys.setrecursionlimit(RECURSION_LIMIT)
    for mark, require in REQUIREMENTS.items():
        if item.get_closest_marker(mark) is not None:
            require()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[], Server]]:
    """Starts a PostgreSQL when it is first asked for, one for all tests, and stops it at the end."""
    with contextlib.ExitStack() as stack:
        running: list[Server] = []

        def server() -> Server:
            if not running:
                running.append(stack.enter_context(any_server()))
            return running[0]

        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[Callable[[], Valkey]]:
    """Starts a Valkey when it is first asked for, one for all tests, and stops it at the end."""
    with one_valkey() as server:
        yield server
