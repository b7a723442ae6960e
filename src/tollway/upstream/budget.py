"""How often a provider may be asked once more for a call that it has just failed: its retry budget.

Theory. Every call that is tried twice at a provider in trouble is load that the trouble makes, and keeps it alive. So
each provider has a bucket: a first attempt puts a tenth of a token into it, asking again takes a whole one, and where
there is none the next provider is asked. Over any sequence, then, repeats are at most FLOOR and a tenth of the first
attempts: a router under load adds 10 %, and one with little to do, whose bucket is full, may still ask again. What
moves on to another provider is no repeat; a plan bounds that. Counted in tenths, as integers: rounding loses nothing.

One a process: replicas have a bucket each, and their shares add up to the same tenth. Must not know why it is asked.
"""

FLOOR = 10  # tokens that a bucket starts with, and holds at most
ATTEMPTS_A_RETRY = 10

_FULL = FLOOR * ATTEMPTS_A_RETRY


class RetryBudget:
    """By provider. Those whose bucket is full take no memory."""

    def __init__(self) -> None:
        self._left: dict[str, int] = {}  # tenths of a token; absent: full

    def attempted(self, provider: str) -> None:
        """A first attempt of a call at this provider has been made."""
        left = self._left.get(provider)
        if left is None:
            return
        if left + 1 == _FULL:
            del self._left[provider]
        else:
            self._left[provider] = left + 1

    def take(self, provider: str) -> bool:
        """Whether it may be asked once more; counted if so."""
        left = self._left.get(provider, _FULL)
        if left < ATTEMPTS_A_RETRY:
            return False
        self._left[provider] = left - ATTEMPTS_A_RETRY
        return True
