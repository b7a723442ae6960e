"""The rules of delegated keys: made once, ended for good, and what a hold made through one may reserve. Pure.

What a key spends is counted in an account of the books, see book.py; so its limit is as exact as a balance.
"""

from tollway.domain.commands import CreateKey, EndKey, Hold, KeyCreated, KeyEnded, RefusalReason, Refused
from tollway.domain.ids import id_time_ms
from tollway.domain.keys import KeyPage, KeyState, key_of
from tollway.ledger.decision import REUSED, Decision, KnownKey, View
from tollway.ledger.transfer import Account, Transfer, is_wallet

UNKNOWN_KEY = Refused(reason="unknown_key")


def create(command: CreateKey, view: View, _seq: int, _at_ms: int) -> Decision:
    known = view.key(command.id)
    if known is not None:
        same = (known.key, known.secret_hash) == (command.key, command.secret_hash)
        return Decision(KeyCreated() if same else REUSED)
    if not is_wallet(command.key.account):
        return Decision(Refused(reason="unknown_account"))
    if command.key.limit is not None and command.key.limit < 0:
        return Decision(Refused(reason="invalid_amount"))
    return Decision(KeyCreated(), note=KnownKey(command.key, command.secret_hash))


def end(command: EndKey, view: View, _seq: int, at_ms: int) -> Decision:
    known = view.key(command.id)
    if known is None or known.key.account != command.account:
        return Decision(UNKNOWN_KEY)
    if known.ended_ms is not None:
        return Decision(KeyEnded(at_ms=known.ended_ms))
    return Decision(KeyEnded(at_ms=at_ms), note=KnownKey(known.key, known.secret_hash, at_ms))


def refusal(command: Hold, known: KnownKey | None, at_ms: int) -> RefusalReason | None:
    """Why the key that a hold came with must not be used for it, whatever is left of its limit."""
    if known is None or known.key.account != command.account:
        return "unknown_key"
    if known.ended_ms is not None:
        return "key_ended"
    if known.key.expires_ms is not None and known.key.expires_ms <= at_ms:
        return "key_expired"
    if known.key.models and not set(command.models) <= set(known.key.models):
        return "model_not_allowed"
    return None


def left(known: KnownKey | None, spending: str, view: View) -> int | None:
    """What may still be held of the limit in the period that `spending` counts; None where there is no limit."""
    if known is None or known.key.limit is None:
        return None
    counted = view.account(spending)
    return known.key.limit - counted.debits_posted - counted.debits_pending


def state(known: KnownKey, counted: Account) -> KeyState:
    """The key as it stands, by the account that counts its spending now."""
    return KeyState(key=known.key, ended_ms=known.ended_ms, spent=counted.debits_posted, held=counted.debits_pending)


def before(cursor: str | None) -> str:
    """The id that a page's keys are older than: the page after the key that a cursor names. ValueError for no id."""
    if cursor is None:
        return "g"  # after every UUID
    if id_time_ms(cursor) is None:
        raise ValueError("cursor: not one that a list of keys gave; start again without it")
    return cursor


def page(states: list[KeyState], limit: int, *, living: int, total: int) -> KeyPage:
    """From up to `limit` + 1 keys, newest first."""
    shown = tuple(states[:limit])
    return KeyPage(
        keys=shown, living=living, total=total, next_cursor=shown[-1].key.id if len(states) > limit else None
    )


def left_over(hold: Transfer, view: View) -> int | None:
    """What a post may take beyond its hold, by the limit of the hold's key."""
    return left(view.key(key_of(hold.key)), hold.key, view) if hold.key else None
