"""What an attempt passes on its way to a provider, where the operator keeps to a share of the provider's quota. It must
not know what is counted, or where."""

from collections.abc import Callable, Mapping
from typing import Protocol

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


class PassedResponse:
    """domain.seams.HttpResponse that gives an attempt's place back when it is closed."""

    def __init__(self, response: HttpResponse, passed: Pass) -> None:
        self.status = response.status
        self._response = response
        self._passed = passed

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def read(self) -> bytes:
        return await self._response.read()

    def close(self) -> None:
        self._passed.leave()
        self._response.close()


async def send(transport: Transport, request: HttpRequest, passed: Pass, on_sent: Callable[[], object]) -> HttpResponse:
    """Send a request that was let through; whatever ends it gives its place back, and one that was ended before it went
    out counts for nothing. (A ProviderFault is told by the attempt loop, which knows what it comes to.)"""
    sent = False

    def note() -> None:
        nonlocal sent
        sent = True
        on_sent()

    try:
        return PassedResponse(await transport.send(request, note), passed)
    except BaseException as error:
        if not sent and not isinstance(error, ProviderFault):
            passed.failed("connect_failed")
        passed.leave()
        raise
