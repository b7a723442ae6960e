"""Statements from the lines of the books: entries, and the opaque cursor that continues one. Pure."""

import base64
import binascii

from tollway.domain.commands import Entry, Statement
from tollway.ledger.decision import change_of
from tollway.ledger.transfer import Transfer

STATEMENT_ENTRIES_MAX = 1000  # a page; longer ones are paged
_CURSOR_CHARS_MAX = 64
_SEQ_MAX = 2**63 - 1


def encode_cursor(seq: int) -> str:
    """Where a statement goes on: the transfer `seq`, and older ones. Empty when there is none."""
    return base64.urlsafe_b64encode(b"s1:%d" % seq).rstrip(b"=").decode() if seq else ""


def decode_cursor(cursor: str) -> int:
    """ValueError for anything that `encode_cursor` did not make."""
    try:
        if len(cursor) > _CURSOR_CHARS_MAX:
            raise ValueError
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, _, digits = text.partition(b":")
        if version != b"s1" or not digits.isdigit() or not 0 < (seq := int(digits)) <= _SEQ_MAX:
            raise ValueError
    except (ValueError, binascii.Error):
        raise ValueError("cursor: not one that a statement gave; start again without it") from None
    return seq


def check_limit(limit: int) -> None:
    if not 1 <= limit <= STATEMENT_ENTRIES_MAX:
        raise ValueError(f"limit: {limit} is not within 1 to {STATEMENT_ENTRIES_MAX}")


def statement_of(newest_first: list[Transfer], limit: int) -> Statement:
    """A page from up to `limit` transfers of one account, newest first."""
    entries = tuple(_entry(transfer) for transfer in newest_first[:limit])
    more = entries[-1].cursor if len(entries) == limit else ""
    return Statement(entries=entries, next_cursor=more or None)


def _entry(transfer: Transfer) -> Entry:
    return Entry(
        id=transfer.id,
        at_ms=transfer.at_ms,
        kind=transfer.kind,
        amount=change_of(transfer) if transfer.kind == "reverse" else transfer.amount,
        returned=max(0, transfer.held - transfer.amount) if transfer.kind == "post" else 0,
        ref=transfer.ref or None,
        model=transfer.model or None,
        cursor=encode_cursor(transfer.previous),
    )
