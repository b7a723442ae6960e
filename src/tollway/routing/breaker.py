"""Circuit breakers: who is asked last because it has just failed, and when it is tried again. Time is passed in.

Theory. There is a breaker for each provider's model, and one for each provider whole: no connection and a refusal of
our key concern all its models. One that isn't closed puts its candidates at the back of a plan. It never forbids to ask
them: where everybody is in trouble, or the caller's `order` says so, they are asked.

Faults open a breaker when they are at least one in OPEN_SHARE of what was seen of it in the last 30 s (where little was
seen, the first does), or when the newest OPEN_IN_A_ROW are nothing else. So one that answers, and fails one call in a
hundred, keeps its place. A 429, or a 503 with Retry-After, opens it at once: that is what it asked for. The caller's
own mistakes, and a caller who left, are no faults (health.FAULTS).

Once open, it waits a second, then it is half open: one call at a time is let through to its ordinary place, as the
probe, while all others go elsewhere. A probe that fails doubles the wait, to 5 s at most, so a provider serves again
within seconds of its recovery; one that was silent makes the wait as long as it was itself, to 30 s, so that it costs
one caller at a time, and at most half of the time. What it failed at it must do again: after an answer that broke off
in the middle nothing closes it but a whole one, after any other fault the first token does.

Only attempts that began after the breaker opened say anything of it, and silence only what has not answered since.

| State     | Event                                                    | Becomes                                       |
|-----------|----------------------------------------------------------|-----------------------------------------------|
| closed    | faults as above                                          | open for 1 s; if it closed in the last 30 s,  |
|           |                                                          | for twice as long as the last time            |
| open      | the wait is over, and so is a Retry-After                | half open                                     |
| any other | an attempt that began since fails                        | open, for twice as long                       |
| any       | a Retry-After                                            | open until then at least, 10 min at most      |
| any other | an attempt that began since answers                      | closed                                        |
| half open | a plan puts it first, and no attempt is under way        | half open: that call is the probe             |
| half open | the probe ends otherwise (rejected, cancelled, not sent) | half open: the next call is the probe         |
"""

from typing import Literal

from tollway.domain.answer import Outcome
from tollway.routing.policy import Standing

State = Literal["closed", "half_open", "open"]

OPEN_SHARE = 10  # one in so many
OPEN_IN_A_ROW = 3
TROUBLE_S = 30.0  # how far back faults count, and how long one that has closed is remembered
PROBE_S = 1.0
PROBE_S_MAX = 5.0
COOLDOWN_S_MAX = 600.0  # a provider that says "tomorrow" is asked again before
CLAIM_S = 2.0  # from a plan to its first attempt: the hold is in between. A probe that never comes blocks no longer

SILENT: frozenset[Outcome] = frozenset({"first_byte_timeout", "batch_timeout"})
IN_THE_MIDDLE: frozenset[Outcome] = frozenset({"cut", "idle_timeout", "error_event"})

NEVER = float("-inf")


class Breaker:
    """One that isn't closed. Moments are of one monotonic clock, in seconds."""

    __slots__ = ("_claimed_until", "_whole", "cooling_until", "opened_at", "probe_at", "under_way", "wait_s")

    def __init__(self, outcome: Outcome, now: float, wait_s: float) -> None:
        self.opened_at = now
        self.wait_s = wait_s
        self.probe_at = now + wait_s
        self.cooling_until = NEVER
        self.under_way = 0  # attempts that began since
        self._claimed_until = NEVER
        self._whole = outcome in IN_THE_MIDDLE

    def state(self, now: float) -> State:
        return "open" if now < max(self.probe_at, self.cooling_until) else "half_open"

    def standing(self, now: float) -> Standing:
        """What it means for the next plan: "probing" says that its first call would be the probe."""
        if now < self.cooling_until:
            return "cooling"
        if now < self.probe_at or self.under_way or now < self._claimed_until:
            return "troubled"
        return "probing"

    def claim(self, now: float) -> None:
        """A plan begins with it: its first attempt is the probe."""
        self._claimed_until = now + CLAIM_S

    def entered(self) -> None:
        """An attempt begins."""
        self.under_way += 1
        self._claimed_until = NEVER

    def left(self) -> None:
        """An attempt that `entered` is over."""
        self.under_way -= 1

    def failed(self, outcome: Outcome, began: float, now: float) -> None:
        if began < self.opened_at:
            return
        self.opened_at = now
        self.wait_s = longer(self.wait_s)
        pause = max(self.wait_s, min(now - began, TROUBLE_S)) if outcome in SILENT else self.wait_s
        self.probe_at = now + pause
        self._whole = self._whole or outcome in IN_THE_MIDDLE

    def cool(self, until: float) -> None:
        self.cooling_until = max(self.cooling_until, until)

    def closes(self, began: float, *, whole: bool) -> bool:
        """Whether it does for an attempt that began then and came to its first token, or to a whole answer."""
        return began >= self.opened_at and (whole or not self._whole)


def longer(wait_s: float) -> float:
    return min(2 * wait_s, PROBE_S_MAX)
