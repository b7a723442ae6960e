"""What each call should have come to, by the providers' log and the clients' own, compared with the books.

Shares no code with the router's metering. A call that was broken off may have been booked or not, as the moment of the
kill had it: then the books may say all of its price or nothing, and no amount between.
"""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from chaos.books import Line
from chaos.calls import MAX_TOKENS, Seen
from tollway.simulator.log import Attempt

PRICES = {"a": ("1.0375", "10.15"), "b": ("0.9125", "11.35")}  # USD per million tokens, of prompt and of answer
MARKUP = Fraction("1.03")
NANO_PER_MILLION = 1000  # a USD for a million tokens is so many nano-USD for one
BYTES_PER_TOKEN = 4  # of the router's own count (docs/billing.md)


@dataclass
class Found:
    """What was compared so far, and what differs."""

    calls: Counter[str] = field(default_factory=Counter)
    charged: int = 0  # nano-USD, of all that was checked
    differences: list[str] = field(default_factory=list)

    def differ(self, what: str) -> None:
        self.differences.append(what)


def price(provider: str, prompt: int, completion: int, *, factor: Fraction = MARKUP) -> int:
    """Nano-USD, rounded up once."""
    of_prompt, of_answer = (Fraction(rate) * NANO_PER_MILLION for rate in PRICES[provider])
    return math.ceil((prompt * of_prompt + completion * of_answer) * factor)


def tag_of(attempt: Attempt) -> str:
    return str(json.loads(attempt.body)["messages"][-1]["content"].split()[0])


def provider_of(attempt: Attempt) -> str:
    return (attempt.model or "")[-1]


def compare(seen: Sequence[Seen], attempts: Sequence[Attempt], lines: Sequence[Line], found: Found) -> None:
    """Hold every call against the rows that are new in the books."""
    tried: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        tried[tag_of(attempt)].append(attempt)
    booked: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.kind == "post":
            booked[line.tag or ""].append(line)
            found.charged += line.amount
    known = {call.asked.tag for call in seen}
    for stranger in booked.keys() - known:
        found.differ(f"{stranger}: posted, and no client asked for it")
    for stranger in tried.keys() - known:
        found.differ(f"{stranger}: sent to a provider, and no client asked for it")
    for call in seen:
        _compare_one(call, tried[call.asked.tag], booked[call.asked.tag], found)


def _compare_one(call: Seen, attempts: list[Attempt], posts: list[Line], found: Found) -> None:
    name = f"{call.asked.tag} ({call.asked.kind.name}, status {call.status})"
    found.calls[_how(call, posts)] += 1
    if len(posts) > 1:
        found.differ(f"{name}: posted {len(posts)} times")
    charged = sum(post.amount for post in posts)
    if call.error is not None:
        if charged:
            found.differ(f"{name}: ended with {call.error} and was charged {charged}")
        if call.error == "insufficient_balance" and attempts:
            found.differ(f"{name}: refused, and sent to a provider")
        return
    if call.whole and not posts:
        found.differ(f"{name}: a whole answer, and no post")
    if not posts:
        return
    if not attempts:
        # Its client left while it was being sent: the router can't know whether the provider has it, which may not.
        most = max(price(provider, len(call.asked.body), 0) for provider in PRICES) if call.left else -1
        if charged > most:
            found.differ(f"{name}: charged {charged}, and no provider was asked")
        return
    low, high = _bounds(call, attempts[-1])
    if not low <= charged <= high:
        found.differ(f"{name}: charged {charged}, the logs say {low} to {high}")
    if call.charged is not None and call.charged != charged:
        found.differ(f"{name}: charged {charged}, its client was told {call.charged}")
    if call.request_id is not None and posts[0].id != call.request_id:
        found.differ(f"{name}: is {call.request_id} to its client and {posts[0].id} in the books")


def _how(call: Seen, posts: list[Line]) -> str:
    if call.whole:
        return "whole"
    if call.error is not None:
        return "refused"
    what = "left" if call.left else "broken off"
    return f"{what}, booked" if posts else f"{what}, not booked"


def _bounds(call: Seen, served: Attempt) -> tuple[int, int]:
    """The least and the most that a posted call may have cost, given the last attempt at it."""
    provider, kind = provider_of(served), call.asked.kind
    if kind.free:
        return 0, 0
    if served.ended == "complete" and kind.exact:
        exact = price(provider, served.prompt_tokens, served.completion_tokens)
        return exact, exact
    if kind.exact and kind.leave_after is None:
        return 0, 0  # the provider broke off
    # The router's own count: of the prompt at least its text and at most its bytes, of the answer what came of it. Its
    # client knows how much that is only when it is whole.
    prompt_low = -(-len(call.asked.text.encode()) // BYTES_PER_TOKEN)
    counted = min(MAX_TOKENS, -(-call.text_bytes // BYTES_PER_TOKEN))
    low = price(provider, prompt_low, counted)
    high = price(provider, len(call.asked.body), counted if call.whole else MAX_TOKENS)
    if served.ended == "complete" and not call.whole:  # the router may have read on, and gone by the provider's count
        low = min(low, price(provider, served.prompt_tokens, served.completion_tokens))
    return low, high
