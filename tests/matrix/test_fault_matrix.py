"""Every fault of a provider, through the official SDKs: the whole answer or a clear error, and books that agree. The
tables in docs/reliability.md are what is seen here."""

from pathlib import Path

import pytest

from helpers.node import install
from matrix.node_sdk import node_sdk
from matrix.python_sdk import python_sdk
from matrix.stage import Played
from matrix.table import rendered, stands_in
from matrix.verdict import differences
from matrix.whole import play

pytestmark = pytest.mark.acceptance

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"


def check(client: str, played: list[Played]) -> None:
    assert [what for one in played for what in differences(one)] == []
    assert rendered({client: played}) == stands_in(PAGE), 'make matrix ARGS="--write docs/reliability.md"'


async def test_each_fault_comes_to_what_is_due_through_the_sdk_for_python(tmp_path: Path) -> None:
    async with python_sdk() as client:
        check("Python", await play(client, tmp_path))


@pytest.mark.node
async def test_each_fault_comes_to_what_is_due_through_the_sdk_for_node(tmp_path: Path) -> None:
    install()
    async with node_sdk() as client:
        check("Node", await play(client, tmp_path))
