"""A new configuration for a router that runs: read, checked and joined whole, then swapped in by one assignment.

Calls in flight keep the snapshot they began with; nothing waits for them and nothing is dropped. What can't be served
changes nothing. Must not know where a configuration comes from or who asks for it.
"""

import asyncio
import logging
from collections.abc import Callable

from tollway.assembly import Assembly
from tollway.config.problems import ConfigError
from tollway.config.restart import kept
from tollway.config.schema import Config
from tollway.domain.observer import Observer
from tollway.metering.price_list import price_list
from tollway.pipeline import Pipeline
from tollway.routing.health import Health
from tollway.snapshot import Snapshot

log = logging.getLogger("tollway.reload")


class Reloader:
    """One a router. `config` is what it serves; `refused` whether the last that was read is another."""

    def __init__(
        self, config: Config, assembly: Assembly, pipeline: Pipeline, health: Health, observer: Observer
    ) -> None:
        self.config = config
        self.refused = False
        self._assembly = assembly
        self._pipeline = pipeline
        self._health = health
        self._observer = observer
        self._turn = asyncio.Lock()

    async def reload(self, read: Callable[[], Config]) -> bool:
        """Serve what `read` gives, which may raise ConfigError; False when that can't be, and why is in the log. Reads
        after whatever reload is under way, in a thread: calls go on meanwhile."""
        async with self._turn:
            try:
                config, waiting, snapshot = await asyncio.to_thread(self._prepare, read)
            except ConfigError as error:
                self._refuse([str(problem) for problem in error.problems])
                return False
            except Exception as error:
                # Whatever it is, the router goes on with what it has, and the next reload must be possible.
                log.exception("reading the configuration failed")
                self._refuse([f"it could not be read ({type(error).__name__})"])
                return False
            self.config = config
            self._pipeline.snapshot = snapshot
            self._health.retain(snapshot.catalog.keys)
            self.refused = False
        log.info("the configuration was reloaded: %s", _summary(snapshot))
        if waiting:
            log.warning("changed, but only a restart applies it: %s", ", ".join(waiting))
        return True

    def _prepare(self, read: Callable[[], Config]) -> tuple[Config, tuple[str, ...], Snapshot]:
        config, waiting = kept(self.config, read())
        return config, waiting, self._assembly.snapshot(config, price_list(config))

    def _refuse(self, problems: list[str]) -> None:
        self.refused = True
        for problem in problems:
            log.error("the configuration was not reloaded: %s", problem)
        self._observer.alarm("config_reload_refused", f"mistakes: {len(problems)}; what was served before still is")


def _summary(snapshot: Snapshot) -> str:
    return f"models: {len(snapshot.catalog.models)}, providers: {len(snapshot.catalog.providers)}"
