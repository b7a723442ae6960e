"""The simulator as a server: what tests start in process and the command line runs until it is stopped."""

import asyncio
import os
from collections.abc import Awaitable, Callable

from tollway.simulator.connection import Connection
from tollway.simulator.gates import Reach, Wake
from tollway.simulator.log import LOG_ATTEMPTS_MAX, LOG_BYTES_MAX, Attempt, Log
from tollway.simulator.scenario import Scenario
from tollway.simulator.service import Service
from tollway.simulator.ticker import Ticker

BACKLOG = 4_096  # connections that may come at once: a benchmark opens thousands


class Simulator:
    """A provider on a socket. Made with `await Simulator.start(...)`; usable as `async with`."""

    def __init__(self, server: asyncio.Server, service: Service, ticker: Ticker, connections: set[Connection]) -> None:
        self._server = server
        self._service = service
        self._ticker = ticker
        self._connections = connections
        self.host, self.port = server.sockets[0].getsockname()[:2]

    @classmethod
    async def start(
        cls,
        host: str = "127.0.0.1",
        port: int = 0,
        scenario: Scenario | None = None,
        *,
        prompt_knobs: bool = True,
        log_attempts_max: int | None = LOG_ATTEMPTS_MAX,
        log_bytes_max: int | None = LOG_BYTES_MAX,
    ) -> "Simulator":
        """Listen on `port` (0: a free one). `scenario` holds where a request says nothing else; `prompt_knobs` lets the
        last user message say it too. The log keeps the newest attempts; None is no limit. Raises OSError."""
        loop = asyncio.get_running_loop()
        log = Log(log_attempts_max, log_bytes_max)
        service = Service(scenario or Scenario(), log, knobs=prompt_knobs, nonce=os.urandom(6).hex())
        ticker = Ticker(loop)
        connections: set[Connection] = set()
        server = await loop.create_server(
            lambda: Connection(service, ticker, loop, connections), host, port, backlog=BACKLOG
        )
        return cls(server, service, ticker, connections)

    @property
    def base_url(self) -> str:
        """What a client's base_url and a provider's entry are set to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/v1"

    @property
    def log(self) -> tuple[Attempt, ...]:
        """Every attempt, oldest first, running ones as they stand now."""
        return self._service.log.records()

    @property
    def scenario(self) -> Scenario:
        """What holds where a request says nothing else; may be set between requests."""
        return self._service.scenario

    @scenario.setter
    def scenario(self, scenario: Scenario) -> None:
        self._service.scenario = scenario

    def clear(self) -> None:
        """Forget the log and the counts of fault_times and fault_rate."""
        self._service.log.clear()
        self._service.faults.clear()

    # --- gates: waiting takes as long as it takes, so tests bound it as a whole

    def step(self, id: str, events: int = 1) -> None:
        """Let the streams in lock-step `id` send that many more events."""
        self._service.locksteps[id].step(events)

    def free(self, id: str) -> None:
        """Let them run to their end."""
        self._service.locksteps[id].free()

    async def sent(self, id: str, events: int) -> None:
        """Until `events` events have been sent in lock-step `id`, over all its streams."""
        await _until(self._service.locksteps[id].sent.reach(events))

    def release(self, name: str, count: int | None = None) -> int:
        """Open the barrier for good, or let the `count` that waited longest go. How many went."""
        return self._service.barriers[name].release(count)

    async def waiting(self, name: str, count: int) -> None:
        """Until `count` answers are held at the barrier."""
        await _until(self._service.barriers[name].held.reach(count))

    async def seen(self, attempts: int) -> None:
        """Until so many attempts have come since the start."""
        await _until(self._service.seen.reach(attempts))

    async def idle(self) -> None:
        """Until no attempt is running: answered, or its client gone."""
        await _called(self._service.when_idle)

    # --- life

    async def stop(self) -> None:
        """Close the socket and drop every connection."""
        self._server.close()
        for connection in tuple(self._connections):
            connection.abort()
        self._ticker.stop()
        await self._server.wait_closed()

    async def __aenter__(self) -> "Simulator":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()


async def serve(
    host: str,
    port: int,
    scenario: Scenario | None = None,
    *,
    ready: Callable[[Simulator], Awaitable[None] | None] | None = None,
) -> None:
    """Run a simulator until cancelled; `ready` is told once it listens."""
    async with await Simulator.start(host, port, scenario) as simulator:
        if ready is not None and (told := ready(simulator)) is not None:
            await told
        await asyncio.Event().wait()


async def _until(reach: Reach) -> None:
    loop = asyncio.get_running_loop()
    reached: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not reached.done():
            reached.set_result(None)

    if reach.wait(wake):
        return
    try:
        await reached
    finally:
        reach.forget(wake)


async def _called(subscribe: Callable[[Wake], None]) -> None:
    reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    subscribe(lambda: None if reached.done() else reached.set_result(None))
    await reached
