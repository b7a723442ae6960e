"""`tollway doctor`: looks at everything that a start and a call stand on, and says what to mend. Changes nothing."""

import asyncio
import datetime as dt
import os
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tollway.assembly import catalog, dialect
from tollway.cli.common import CommandFailed, ConfigOption, JsonFlag, command, out, print_json
from tollway.cli.doctor.clock import clock
from tollway.cli.doctor.cluster import shared_counts
from tollway.cli.doctor.configuration import keys, read
from tollway.cli.doctor.finding import Area, Finding, State, counted, counts
from tollway.cli.doctor.ledger import ledger
from tollway.cli.doctor.machine import machine
from tollway.cli.doctor.place import listen, public
from tollway.cli.doctor.prices import prices
from tollway.cli.doctor.providers import Reached, providers
from tollway.cli.ending import printable
from tollway.config.load import configuration_file, load_ledger
from tollway.config.problems import ConfigError
from tollway.config.schema import Config
from tollway.domain.clock import SystemClock
from tollway.limits.files import Room
from tollway.metering.price_list import PriceList
from tollway.upstream.http1.transport import Http1Transport

STYLES: dict[State, str] = {"ok": "green", "warning": "yellow", "problem": "bold red", "skipped": "dim"}
STATE_WIDTH = max(map(len, STYLES))


@command
def doctor(
    config: ConfigOption = None,
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask each model for one token too, which the providers charge for.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say what is wrong, and how to mend it: configuration, keys, prices, providers, books, clock, addresses.

    Exits 1 when there is a problem, 0 for warnings only. Nothing is changed, and no key is shown.

    \b
    Example:
      tollway doctor
      tollway doctor --ask --json
    """
    waiting = out.status("Looking ...") if out.is_terminal and not as_json else nullcontext()
    with waiting:
        findings = asyncio.run(_examine(config, ask))
    found = counts(findings)
    if as_json:
        print_json({"ok": not found["problem"], "counts": found, "findings": findings})
    else:
        _print(findings)
        out.print(Text(", ".join(_summary(number, state) for state, number in found.items()), style="bold"))
    if found["problem"]:
        raise CommandFailed(f"{counted(found['problem'], 'problem')} found: what mends it is said with each")


async def _examine(path: Path | None, complete: bool) -> list[Finding]:
    config, findings = read(path, os.environ)
    if config is None:
        return [*findings, *await asyncio.to_thread(_books_alone, path), *machine(None), *_left_out()]
    file = configuration_file(path, os.environ)
    findings += keys(config, Path() if file is None else file.parent)
    listed, said = prices(config, dt.datetime.now(dt.UTC).date())
    findings += said
    transport = Http1Transport(proxies=config.proxies)
    try:
        looked, books, shared, (came_in, ours) = await asyncio.gather(
            providers(_reached(config, listed), transport, complete=complete and listed is not None),
            asyncio.to_thread(ledger, config.ledger.url),
            shared_counts(config.cluster),
            listen(config, transport),
        )
        outside, answer = await public(config, ours, transport)
    finally:
        await transport.aclose()
    said, answers = looked
    own = [] if answer is None or ours is not None else [("public URL", answer)]
    return [
        *findings,
        *said,
        *books,
        *shared,
        *clock([*answers, *own], config.auth.clock_skew),
        *outside,
        *came_in,
        *machine(Room(config.server.max_calls, config.server.max_connections)),
    ]


def _reached(config: Config, listed: PriceList | None) -> list[Reached]:
    """Each provider with what serves it; without its models where a price is missing."""
    served = [] if listed is None else catalog(config, listed).models.values()
    candidates = [candidate for model in served for candidate in model.candidates]
    return [
        Reached(
            provider=provider,
            dialect=dialect(provider, SystemClock()),
            candidates=tuple(candidate for candidate in candidates if candidate.provider == provider.id),
        )
        for provider in config.providers
    ]


def _books_alone(path: Path | None) -> list[Finding]:
    """The ledger of a configuration that has mistakes elsewhere."""
    try:
        return ledger(load_ledger(path, os.environ))
    except ConfigError:
        return []


def _left_out() -> list[Finding]:
    area = Area("everything else")
    area.skipped(
        "providers, prices, clock, addresses", "needs a configuration without mistakes", "mend it, then look again"
    )
    return area.findings


def _print(findings: Sequence[Finding]) -> None:
    """Area by area, a line a finding and another for what to do about it."""
    area = ""
    for finding in findings:
        if finding.area != area:
            area = finding.area
            out.print(Text(area[:1].upper() + area[1:], style="bold"))
        body = "dim" if finding.state == "skipped" else ""
        state = (f"  {finding.state:<{STATE_WIDTH}}  ", STYLES[finding.state])
        out.print(Text.assemble(state, (printable(f"{finding.subject}: {finding.found}"), body)))
        if finding.mend is not None:
            out.print(Text(printable(f"  {'':<{STATE_WIDTH}}  > {finding.mend}"), style=body))


def _summary(number: int, state: State) -> str:
    return counted(number, state) if state in ("warning", "problem") else f"{number} {state}"
