"""The books as a plain-text journal for hledger or beancount: every transfer that moved money, as a balanced entry.

Pure and streaming: transfers come in by their place in the books, text goes out, and only account names are kept. The
same books give the same text. Holds and what gives them back move nothing that is posted, and are left out.
"""

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from typing import Literal

from tollway.domain.money import format_usd
from tollway.ledger.transfer import LOSS, REVENUE, Account, Transfer, legs_of, provider_of
from tollway.ledger.usage import DAY_MS, day_key, day_number

Format = Literal["hledger", "beancount"]
Postings = list[tuple[str, int]]  # account's name in the journal, and by how much its debits grow (nano-USD)

_OTHER = re.compile(r"[^A-Za-z0-9]")
_FIRST_DAY = "1970-01-01"  # accounts are opened then: the clock may have gone backwards


def account_name(account: str) -> str:
    """An account's name in a journal. Both programs take it, and no two accounts share one.

    A part between colons begins with a capital or a digit, as beancount wants it: a small letter is made one, and what
    began with a capital or anything else is marked by `X--`. What is neither letter nor digit becomes its code, `-2d-`.
    """
    if account == REVENUE:
        return "Income:Revenue"
    if account == LOSS:
        return "Expenses:Loss"
    if account.startswith("source:"):
        return f"Assets:Sources:{_part(account.removeprefix('source:'))}"
    if account.startswith("provider:"):
        return f"Liabilities:Providers:{_part(provider_of(account))}"
    return "Liabilities:Wallets:" + ":".join(map(_part, account.split(":")))


def _part(text: str) -> str:
    escaped = _OTHER.sub(lambda found: f"-{ord(found[0]):x}-", text)
    first = escaped[:1]
    if first.isdigit():
        return escaped
    return escaped[0].upper() + escaped[1:] if first.islower() else f"X--{escaped}"


def journal(
    transfers: Iterable[Transfer], style: Format, first: dt.date | None = None, last: dt.date | None = None
) -> Iterator[str]:
    """The journal, entry by entry. What was before `first` is summed up in one entry at its end; what is after `last`
    is left out."""
    first_day = None if first is None else day_number(first)
    last_day = None if last is None else day_number(last)
    write = _beancount if style == "beancount" else _hledger
    opened: set[str] = set()
    before: dict[str, int] = {}
    yield _HEADINGS[style]
    for transfer in transfers:
        day = transfer.at_ms // DAY_MS
        if last_day is not None and day > last_day:
            continue
        postings = _postings(transfer)
        if first_day is not None and day < first_day:
            for account, debits in postings:
                before[account] = before.get(account, 0) + debits
        elif postings:
            yield from _open(postings, opened, style)
            yield write(day_key(day), transfer.kind, _about(transfer), _marks(transfer), postings)
    opening = [(account, debits) for account, debits in sorted(before.items()) if debits]
    if first_day is not None and opening:
        yield from _open(opening, opened, style)
        yield write(day_key(first_day), "opening balances", "", {}, opening)


def _postings(transfer: Transfer) -> Postings:
    """What moved, by account; an account that both gains and gives is told once, one that doesn't change not at all."""
    if transfer.kind in ("hold", "void", "expire"):
        return []
    moved: dict[str, int] = {}
    accounts: dict[str, Account] = {}

    def account(own: str) -> Account:
        return accounts.setdefault(own, Account(id=own))

    for debit, credit, _, posted in legs_of(transfer, account):
        moved[debit.id] = moved.get(debit.id, 0) + posted
        moved[credit.id] = moved.get(credit.id, 0) - posted
    return [(account_name(own), debits) for own, debits in moved.items() if debits]


def _open(postings: Postings, opened: set[str], style: Format) -> Iterator[str]:
    for account, _ in postings:
        if account not in opened:
            opened.add(account)
            if style == "beancount":
                yield f"{_FIRST_DAY} open {account} USD\n"


def _about(transfer: Transfer) -> str:
    return transfer.ref or transfer.model


def _marks(transfer: Transfer) -> dict[str, str]:
    at = dt.datetime.fromtimestamp(transfer.at_ms / 1000, dt.UTC).isoformat(timespec="milliseconds")
    return {"id": transfer.id, "place": str(transfer.seq), "at": at}


def _beancount(day: str, kind: str, about: str, marks: dict[str, str], postings: Postings) -> str:
    lines = [f'{day} * "{kind}" {_quoted(about)}']
    lines += [f"  {name}: {_quoted(text)}" for name, text in marks.items()]
    lines += [f"  {account}  {format_usd(debits)} USD" for account, debits in postings]
    return "\n".join(lines) + "\n\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _hledger(day: str, kind: str, about: str, marks: dict[str, str], postings: Postings) -> str:
    # A semicolon would begin a comment, and a comma end a tag.
    lines = [f"{day} * {kind} | {about.replace(';', ',')}".rstrip(" |")]
    lines += [f"    ; {name}: {text.replace(',', ' ')}" for name, text in marks.items()]
    lines += [f"    {account}  {format_usd(debits)} USD" for account, debits in postings]
    return "\n".join(lines) + "\n\n"


_HEADINGS: dict[Format, str] = {
    "beancount": '; Books of a Tollway router.\noption "operating_currency" "USD"\n\n',
    "hledger": "; Books of a Tollway router.\ncommodity 1000.000000000 USD\n\n",
}
