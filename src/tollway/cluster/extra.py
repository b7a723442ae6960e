"""The way in: what stands on the extra `cluster` is imported only when the configuration names a Valkey."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from tollway.config.problems import ConfigError, Problem
from tollway.config.schema import Cluster
from tollway.domain.hint import Hint
from tollway.domain.observer import NullObserver, Observer
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
        raise _missing(error) from error
    return ValkeyShared(cluster.url, _password(cluster), observer, tell, learn)


async def unreachable(cluster: Cluster) -> str | None:
    """Why the Valkey that is named can't be asked; None when it can. Changes nothing there. Raises ConfigError."""
    assert cluster.url is not None, "a Valkey is named"
    try:
        from tollway.cluster.link import Link
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    heard = _Heard()
    link = Link(cluster.url, _password(cluster), heard)
    await link.open()
    await link.aclose()
    return heard.why


class _Heard(NullObserver):
    why: str | None = None

    def alarm(self, what: str, detail: str) -> None:
        self.why = detail


def _password(cluster: Cluster) -> str | None:
    return None if cluster.password is None else cluster.password.reveal()


def _missing(error: ModuleNotFoundError) -> ConfigError:
    why = f"needs {error.name}, which is not installed: pip install 'tollway[cluster]'"
    return ConfigError((Problem(key="cluster.url", expected=why),))
