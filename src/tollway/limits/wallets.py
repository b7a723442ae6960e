"""What wallets use of their allowances: one call's share, and reads of the books. Must not know sign-ins or prices.

A request counts from its sign-in on, whatever becomes of it, and so does its place among the calls at once: before its
body is read, so that no wallet holds more bodies than calls. Tokens are taken when the call has been read, and put
right when it has ended.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from tollway.domain.call import Call
from tollway.domain.errors import RateLimited
from tollway.domain.limit import Ask, Taken
from tollway.domain.plan import Candidate
from tollway.domain.record import CallRecord
from tollway.limits import told
from tollway.limits.allowances import Allowance, Allowances
from tollway.limits.counts import Counts
from tollway.limits.tokens import counted, guess, prompt_guess
from tollway.limits.told import Header

REQUESTS, TOKENS = "r:", "t:"  # before an account, what is counted of it


class Answering(Protocol):
    """The answer to the call: what `added` gives goes with it, whatever it is."""

    added: Callable[[], Iterable[Header]]


class Wallets:
    """One a configuration; what it counts outlives it."""

    def __init__(self, counts: Counts, allowances: Allowances) -> None:
        self._counts = counts
        self._allowances = allowances

    def share(self, account: str, answer: Answering) -> "Share":
        """What a call takes; nothing yet."""
        allowance = self._allowances.of(account)
        share = Share(self._counts, allowance, account)
        if allowance.requests or allowance.tokens:
            answer.added = share.headers
        return share

    @contextlib.contextmanager
    def read(self, account: str) -> Iterator[None]:
        """One read of the books. Raises RateLimited when as many as one wallet may have are under way: the books have
        one reader, and whoever asks it most must not be all that it serves."""
        reading, most = self._counts.reading, self._allowances.reads
        under_way = reading.get(account, 0)
        if under_way >= most:
            self._counts.observer.limited("wallet", "reads")
            raise told.crowded("wallet", "reads", "reads", most)
        reading[account] = under_way + 1
        try:
            yield
        finally:
            left = reading[account] - 1
            if left:
                reading[account] = left
            else:
                del reading[account]


class Share:
    """One call's. `enter`, then `spend`, in this order; `ended` says what it came to; closed at the call's end."""

    # Most calls come to little of this: what only some have begins as what all share.
    _inside: Taken | None = None
    _spent: Taken | None = None
    _first: Taken | None = None  # what was said when it entered
    _last: Taken | None = None  # and lately
    _tokens = 0  # what the call came to

    def __init__(self, counts: Counts, allowance: Allowance, account: str) -> None:
        self._counts = counts
        self._allowance = allowance
        self._account = account

    def close(self) -> None:
        """The call has left."""
        if self._spent is not None:
            self._counts.limiter.settle(self._spent, (self._tokens,))
        if self._inside is not None:
            self._counts.limiter.leave(self._inside)

    async def enter(self) -> None:
        """Count the request, and take a place among the wallet's calls. Raises RateLimited."""
        allowance, asks = self._allowance, []
        if allowance.concurrency is not None or allowance.requests:
            asks.append(Ask(key=REQUESTS + self._account, rates=allowance.requests, at_once=allowance.concurrency))
        if allowance.tokens:
            asks.append(self._tokens_ask(0))  # so that whatever the call comes to is answered with what is left
        taken = await self._counts.limiter.take(asks) if asks else None
        if taken is None:
            return
        self._first = self._last = taken
        if taken.short is not None:
            raise self._refused(taken, taken.short)
        if allowance.concurrency is not None:
            self._inside = taken

    async def spend(self, call: Call, candidate: Candidate) -> None:
        """Take what the call may come to, if `candidate` answers it. Raises RateLimited; RequestError for one that no
        waiting makes room for."""
        rates = self._allowance.tokens
        if not rates:
            return
        tokens = guess(call, candidate)
        least = rates[0] if len(rates) == 1 else min(rates, key=lambda rate: rate.most)
        if tokens > least.most:
            self._counts.observer.limited("wallet", "tokens")
            raise told.never_fits(tokens, prompt_guess(call, candidate), least, call.max_tokens_field)
        taken = await self._counts.limiter.take((self._tokens_ask(tokens),))
        if taken is None:
            return
        self._last = taken
        if taken.short is not None:
            raise self._refused(taken, taken.short)
        self._spent = taken

    def ended(self, record: CallRecord) -> None:
        """What the call came to. A call of which this isn't said came to nothing."""
        if self._spent is not None:
            self._tokens = counted(record)

    def headers(self) -> list[Header]:
        """What is left, as it was last said."""
        found: list[Header] = []
        if self._first is not None and self._allowance.requests:
            found = told.requests_headers(self._first.levels[0])
        if self._last is not None and self._allowance.tokens:
            found += told.tokens_headers(self._last.levels[-1])
        return found

    def _refused(self, taken: Taken, short: int) -> RateLimited:
        limited = self._counts.observer.limited
        if taken.asks[short].key.startswith(TOKENS):
            limited("wallet", "tokens")
            return told.over_rate("wallet", "tokens", "tokens", taken)
        if taken.wait_s is not None:
            limited("wallet", "requests")
            return told.over_rate("wallet", "requests", "requests", taken)
        limited("wallet", "concurrency")
        return told.crowded("wallet", "concurrency", "calls", self._allowance.concurrency or 0)

    def _tokens_ask(self, amount: int) -> Ask:
        return Ask(key=TOKENS + self._account, amount=amount, rates=self._allowance.tokens)
