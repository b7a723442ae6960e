"""Plays the whole matrix with one client: on one router the calls whose status is still to be told, and on another,
which sends keep-alives at once, the streams that have begun."""

import asyncio
from pathlib import Path

from matrix.cells import Cell, Way, cells
from matrix.seen import Client
from matrix.stage import BEGINS_AT, PATIENT, Played, stage

PATIENT_WAYS = tuple(way for way in Way if way is not Way.BEGUN)


async def play(client: Client, folder: Path) -> list[Played]:
    """Every cell. `folder` is for the books."""
    halves = await asyncio.gather(
        _half(client, folder / "patient.db", list(cells("p", PATIENT_WAYS)), PATIENT),
        _half(client, folder / "begun.db", list(cells("b", (Way.BEGUN,))), BEGINS_AT),
    )
    return [played for half in halves for played in half]


async def _half(client: Client, ledger: Path, some: list[Cell], keep_alive: str) -> list[Played]:
    async with stage(ledger, some, keep_alive=keep_alive) as made:
        return await made.play(some, client)
