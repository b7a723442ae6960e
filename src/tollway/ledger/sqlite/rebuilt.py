"""The books in memory, made from what is on disk: at a start, and after a failure. Must not know why."""

from tollway.ledger.books import Books
from tollway.ledger.sqlite.database import Snapshot


def rebuilt(snapshot: Snapshot, newest_ms: int) -> Books:
    """Ids up to `newest_ms` count as old: what they came to is read."""
    state = snapshot.state
    books = Books(complete=False, watermark_ms=max(newest_ms, state.newest_ms), forgotten_ms=state.forgotten_ms)
    books.next_seq = state.next_seq
    books.next_account_no = state.next_account_no
    books.accounts.update({account.id: account for account in snapshot.accounts})
    for hold in snapshot.pending:
        books.remember(hold.id, (hold,))
    for account, nonce, expires_ms in snapshot.nonces:
        books.burn(account, nonce, expires_ms)
    books.revocations = snapshot.revocations
    books.disabled = snapshot.disabled
    books.frozen = snapshot.frozen
    return books
