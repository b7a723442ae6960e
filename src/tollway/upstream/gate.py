"""What an attempt passes on its way to a provider, where the operator keeps to a share of the provider's quota; and who
is told how it goes, where the provider was in trouble. It must not know what is counted, or where."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from tollway.domain.answer import Outcome
from tollway.domain.call import Call
from tollway.domain.errors import ProviderFault
from tollway.domain.plan import Candidate
from tollway.domain.seams import HttpRequest, HttpResponse, Transport
from tollway.domain.usage import Usage


class Pass(Protocol):
    """One attempt's (limits/providers.py)."""

    def leave(self) -> None:
        """The attempt is over. Safe to say twice."""

    def failed(self, outcome: Outcome) -> None: ...

    def used(self, usage: Usage) -> None: ...


class Gate(Protocol):
    async def enter(self, call: Call, candidate: Candidate) -> Pass:
        """Raises ProviderFault("at_limit")."""


class Probe(Protocol):
    """One attempt at a provider in trouble (routing/breakers.py)."""

    def answered(self) -> None:
        """Its first token has come."""

    def over(self) -> None:
        """However it ended. Safe to say twice."""


class Ways(NamedTuple):
    """To providers. `gate` by provider, where it has one; `probe` by provider and model, where it was in trouble."""

    gate: Callable[[str], Gate | None] = lambda provider: None
    probe: Callable[[str, str], Probe | None] = lambda provider, model: None


class HeldResponse:
    """domain.seams.HttpResponse of an attempt that holds something, which it gives back when it is closed."""

    def __init__(self, response: HttpResponse, leave: Callable[[], None]) -> None:
        self.status = response.status
        self._response = response
        self._leave = leave

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def read(self) -> bytes:
        return await self._response.read()

    def whole(self) -> bytes | None:
        return self._response.whole()

    async def pump(self, take: Callable[[bytes], bool]) -> None:
        await self._response.pump(take)

    def close(self) -> None:
        self._leave()
        self._response.close()


async def send(
    transport: Transport,
    request: HttpRequest,
    passed: Pass | None,
    probe: Probe | None,
    on_sent: Callable[[], object],
) -> HttpResponse:
    """Send a request that was let through; whatever ends it gives its place back, and one that was ended before it went
    out counts for nothing. (A ProviderFault is told by the attempt loop, which knows what it comes to.)"""
    sent = False

    def note() -> None:
        nonlocal sent
        sent = True
        on_sent()

    def leave() -> None:
        if passed is not None:
            passed.leave()
        if probe is not None:
            probe.over()

    try:
        return HeldResponse(await transport.send(request, note), leave)
    except BaseException as error:
        if passed is not None and not sent and not isinstance(error, ProviderFault):
            passed.failed("connect_failed")
        leave()
        raise
