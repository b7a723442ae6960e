"""`tollway route`: who would serve a request and why, or whether a recorded decision comes out again. Asks nobody."""

import random
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from tollway.app import SEED_BITS
from tollway.assembly import catalog
from tollway.cli.common import (
    CommandFailed,
    ConfigOption,
    JsonFlag,
    command,
    out,
    print_json,
    print_table,
)
from tollway.cli.settings import configuration
from tollway.config.schema import Config
from tollway.domain.asked import Asked
from tollway.domain.errors import TollwayError
from tollway.domain.plan import Plan, Verdict
from tollway.intake.limits import Limits
from tollway.intake.parse import parse
from tollway.ledger import operator
from tollway.metering.price_list import price_list
from tollway.routing.catalog import Catalog
from tollway.routing.plan import plan
from tollway.routing.policy import unmeasured
from tollway.routing.price import per_million
from tollway.routing.replay import Difference, differences, replay
from tollway.wire import json

FILE_BYTES_MAX = 64 * 1024 * 1024  # no request that a router takes is larger, and no generation comes near it


class Decision(msgspec.Struct, frozen=True):
    seed: int
    verdicts: tuple[Verdict, ...]
    asked: Asked | None = None


class Generation(msgspec.Struct, frozen=True):
    """What is read of GET /generations/{id}."""

    model_asked: str
    route: Decision


@command
def route(
    request: Annotated[Path | None, typer.Argument(help="A request's JSON body; - reads it from stdin.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the plan of the request. The default.")] = False,
    recorded: Annotated[
        Path | None, typer.Option("--replay", help="What GET /generations/{id} returned; - for stdin.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Of the draw (default: a new one).")] = None,
    config: ConfigOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Show who would serve a request, and why. Everybody in service is taken to be well, and
    nobody measured.

    With --replay, make a recorded decision again from its seed and what was known then; exit 1 when it differs.

    \b
    Example:
      tollway route request.json
      tollway route --replay generation.json --json
    """
    if (request is None) == (recorded is None):
        raise CommandFailed("name either the file with a request's body, or --replay and the file with a generation")
    loaded = configuration(config)
    served = catalog(loaded, price_list(loaded))
    if recorded is not None:
        if seed is not None or explain:
            raise CommandFailed("--replay takes the seed and the request of the record: leave out --seed and --explain")
        _replay(_read(recorded), served, as_json)
    elif request is not None:
        drawn = random.SystemRandom().getrandbits(SEED_BITS) if seed is None else seed
        _explain(_read(request), served, drawn, _disabled(loaded), as_json)


def _explain(body: bytes, served: Catalog, seed: int, disabled: Collection[str], as_json: bool) -> None:
    call = parse(body, id="", limits=Limits())
    try:
        made = plan(call, served, {}, seed=seed, measured=unmeasured, disabled=disabled)
    except TollwayError as refused:
        if as_json:
            print_json({"error": {"code": refused.code, "message": refused.message, **refused.details}})
        else:
            _print(_left_out(refused), served)
        raise
    if as_json:
        print_json({"seed": seed, "candidates": _keys(made), "verdicts": made.verdicts})
    else:
        _print(made.verdicts, served)
        out.print(f"seed {seed}")


def _disabled(config: Config) -> Collection[str]:
    """As the books say. Those in memory are out of reach, and a fresh router has nobody in them."""
    url = config.ledger.url
    return () if url.store == "memory" else operator.disabled_providers(url)


def _replay(record: bytes, served: Catalog, as_json: bool) -> None:
    try:
        found = json.decode_as(record, Generation)
    except (json.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise CommandFailed(f"--replay: this is not what GET /generations/{{id}} returns ({fault})") from None
    decision = found.route
    if decision.asked is None or not decision.verdicts:
        raise CommandFailed("--replay: this record doesn't say what was asked: it can't be made again")
    made = replay(decision.asked.call(found.model_asked), served, decision.verdicts, seed=decision.seed)
    apart = differences(decision.verdicts, made.verdicts)
    same = not apart and made.verdicts == decision.verdicts
    if as_json:
        print_json({"same": same, "seed": decision.seed, "candidates": _keys(made), "differences": apart})
    else:
        _print(made.verdicts, served)
        for difference in apart:
            out.print(_told(difference))
    if not same:
        raise CommandFailed("another plan than was recorded: the configuration is not what it was then")
    if not as_json:
        out.print(f"seed {decision.seed}: the same plan as was recorded")


def _read(path: Path) -> bytes:
    if str(path) == "-":
        data = sys.stdin.buffer.read(FILE_BYTES_MAX + 1)
    else:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    if len(data) > FILE_BYTES_MAX:
        raise CommandFailed(f"{path} is over {FILE_BYTES_MAX} bytes: no request and no generation is that large")
    return data


def _keys(made: Plan) -> list[str]:
    return [candidate.key for candidate in made.candidates]


def _left_out(refused: TollwayError) -> list[Verdict]:
    """The candidates of an error that tells of some."""
    told: Any = refused.details.get("candidates", [])
    return [Verdict(kept=False, **candidate) for candidate in told]


def _told(difference: Difference) -> str:
    then, now = (_short(verdict) for verdict in (difference.recorded, difference.replayed))
    return f"{difference.candidate} was {then}, is {now}"


def _short(verdict: Verdict | None) -> str:
    if verdict is None:
        return "no candidate"
    place = f"number {verdict.rank}" if verdict.kept else f"left out ({verdict.reason})"
    note = f", {verdict.note}" if verdict.note else ""
    return f"{place}{note}, weight {verdict.weight}, draw {verdict.draw}"


def _print(verdicts: tuple[Verdict, ...] | list[Verdict], served: Catalog) -> None:
    if not verdicts:
        return
    prices = {c.key: per_million(c.tariff) for model in served.models.values() for c in model.candidates}
    print_table(
        ("candidate", "kept", "reason", "rank", "weight", "draw", "input", "output"),
        [
            (
                verdict.candidate,
                "yes" if verdict.kept else "no",
                ": ".join(text for text in (verdict.reason, verdict.note) if text),
                "" if verdict.rank is None else str(verdict.rank),
                "" if verdict.weight is None else f"{verdict.weight:.6g}",
                "" if verdict.draw is None else f"{verdict.draw:.6f}",
                prices[verdict.candidate]["prompt"] if verdict.candidate in prices else "",
                prices[verdict.candidate]["completion"] if verdict.candidate in prices else "",
            )
            for verdict in verdicts
        ],
        right=("rank", "weight", "draw", "input", "output"),
    )
