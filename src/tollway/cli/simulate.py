"""`tollway simulate`: the simulated provider, for trying out clients and failures without a key."""

import asyncio
from typing import Annotated

import typer
import uvloop

from tollway.cli.common import SIMULATED_AT, CommandFailed, command
from tollway.cli.open_files import raise_open_files
from tollway.cli.signals import stop_signal
from tollway.config.places import Address, address
from tollway.simulator import Scenario, ScenarioError, Simulator, parse_scenario


@command
def simulate(
    listen: Annotated[str, typer.Option("--listen", help="HOST:PORT.")] = SIMULATED_AT,
    scenario: Annotated[str, typer.Option("--scenario", help="Default behaviour: key=value&..., see the docs.")] = "",
) -> None:
    """Run a provider that behaves, and misbehaves, on request.

    \b
    Example:
      tollway simulate
      tollway simulate --scenario tokens=50,gap=20ms
    """
    place = address(listen)
    raise_open_files()
    try:
        wanted = parse_scenario(scenario)
    except ScenarioError as error:
        raise CommandFailed(f"--scenario: {error}") from None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_simulate(place, wanted))


async def _simulate(place: Address, scenario: Scenario) -> None:
    stop = stop_signal()
    try:
        simulator = await Simulator.start(place.host, place.port, scenario)
    except OSError as error:
        raise CommandFailed(f"can't listen at {place}: {error.strerror}") from None
    async with simulator:
        typer.echo(f"simulated provider at {simulator.base_url}", err=True)
        await stop.wait()
