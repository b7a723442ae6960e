"""What a router shares with its replicas, opened and kept up: one link, its beat, and who uses it.

The rest of the room is imported only where the configuration names a Valkey: it stands on an extra.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence

from tollway.cluster.hints import HealthHints
from tollway.cluster.limits import RENEW_S, ValkeyLimits
from tollway.cluster.link import Link
from tollway.config.valkey import ValkeyUrl
from tollway.domain.hint import Hint
from tollway.domain.observer import Observer

BEAT_S = 1.0  # a hint is known everywhere after two of them

BEATS_A_RENEWAL = round(RENEW_S / BEAT_S)


class ValkeyShared:
    """extra.Shared. `limits` is the store of counts."""

    def __init__(
        self,
        url: ValkeyUrl,
        password: str | None,
        observer: Observer,
        tell: Callable[[], Sequence[Hint]],
        learn: Callable[[Iterable[Hint]], None],
    ) -> None:
        self._link = Link(url, password, observer)
        self.limits = ValkeyLimits(self._link)
        self._hints = HealthHints(self._link, tell, learn)
        self._link.connected = self.limits.renew
        self._beating: asyncio.Task[None] | None = None

    @property
    def lost(self) -> bool:
        return self._link.lost

    async def open(self) -> None:
        """Waits for the first connection, as long as that may take; a Valkey that isn't there stops no start."""
        await self._link.open()
        self._beating = asyncio.create_task(self._beat())

    async def aclose(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        await self._link.aclose()

    async def _beat(self) -> None:
        beats = 0
        while True:
            await self._hints.exchange()
            await asyncio.sleep(BEAT_S)
            beats += 1
            if beats % BEATS_A_RENEWAL == 0 and not self._link.lost:
                self.limits.renew()
