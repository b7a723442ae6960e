"""What an operator does to accounts beyond crediting them: freezing, reversing, paying providers.

Knows nothing of terminals: results and errors are values, and a refusal is one of them.
"""

import hashlib
import time
from collections.abc import Mapping

from tollway.domain.commands import Frozen, FrozenSet, Paid, Pay, Refused, Reverse, Reversed, SetFrozen
from tollway.ledger.accounts import stored_account
from tollway.ledger.operator import REF_CHARS_MAX, SOURCE, WHY_CHARS_MAX, Books, desk, operate

ID_CHARS_MAX = 200  # of a transfer: the longest that are made have about 50


async def freeze(books: Books, account: str, *, by: str, why: str) -> None:
    """Refuse a wallet's calls from the next one on. Raises ValueError (account, why) and what `operate` raises."""
    stored = stored_account(account)
    _check("--why", why, WHY_CHARS_MAX)
    since = Frozen(since_ms=time.time_ns() // 1_000_000, by=by, why=why)
    (result,) = await operate(books, [SetFrozen(account=stored, frozen=since)])
    assert isinstance(result, FrozenSet), "a wallet is always frozen"


async def unfreeze(books: Books, account: str) -> Frozen | None:
    """Let a wallet call again; how it was frozen, None when it wasn't."""
    stored = stored_account(account)
    before = desk(books).frozen().get(stored)
    (result,) = await operate(books, [SetFrozen(account=stored, frozen=None)])
    assert isinstance(result, FrozenSet), "a wallet is always unfrozen"
    return before


def frozen(books: Books) -> Mapping[str, Frozen]:
    """By stored account. Raises LedgerUnusable."""
    return desk(books).frozen()


async def reverse(books: Books, id: str, *, why: str, force: bool, provider: bool) -> Reversed | Refused:
    """Take back the credit, or give back the charge of the call, with this id; asked again, it answers the same.

    Raises ValueError (id, why) and what `operate` raises."""
    _check("the id", id, ID_CHARS_MAX)
    _check("--why", why, WHY_CHARS_MAX)
    (result,) = await operate(books, [Reverse(id=id, why=why, force=force, provider=provider)])
    assert isinstance(result, Reversed | Refused), "a reversal is made or refused"
    return result


async def pay(books: Books, provider: str, amount_nano: int, *, ref: str, advance: bool) -> Paid | Refused:
    """Note what a provider was paid. The same `ref` again pays nothing and answers the same.

    Raises ValueError (ref) and what `operate` raises."""
    _check("--ref", ref, REF_CHARS_MAX)
    own = "pay:" + hashlib.sha256(f"{provider}\n{ref}".encode()).hexdigest()[:40]
    command = Pay(id=own, provider=provider, amount=amount_nano, source=SOURCE, ref=ref, advance=advance)
    (result,) = await operate(books, [command])
    assert isinstance(result, Paid | Refused), "a payment is booked or refused"
    return result


def _check(name: str, text: str, chars_max: int) -> None:
    if not text or len(text) > chars_max or not text.isprintable():
        raise ValueError(f"{name}: write 1 to {chars_max} printable characters")
