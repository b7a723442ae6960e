"""The way in: what stands on the extra `cluster` is imported only when the configuration names a Valkey."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tollway.config.problems import ConfigError, Problem
from tollway.config.schema import Cluster
from tollway.domain.hint import Hint
from tollway.domain.observer import Observer
from tollway.domain.seams import LimitStore


class Shared(Protocol):
    """What a router shares with its replicas: shared.ValkeyShared."""

    @property
    def limits(self) -> LimitStore: ...

    @property
    def lost(self) -> bool:
        """Whether Valkey can't be asked at the moment."""

    async def open(self) -> None: ...

    async def aclose(self) -> None: ...


def shared(
    cluster: Cluster, observer: Observer, tell: Callable[[], Sequence[Hint]], learn: Callable[[Iterable[Hint]], None]
) -> Shared | None:
    """Not open yet; None where nothing is shared. Raises ConfigError."""
    if cluster.url is None:
        return None
    try:
        from tollway.cluster.shared import ValkeyShared
    except ModuleNotFoundError as error:
        why = f"needs {error.name}, which is not installed: pip install 'tollway[cluster]'"
        raise ConfigError((Problem(key="cluster.url", expected=why),)) from error
    password = None if cluster.password is None else cluster.password.reveal()
    return ValkeyShared(cluster.url, password, observer, tell, learn)
