"""/session: what a wallet can see and do of itself."""

import msgspec
from starlette.requests import Request

from tollway.api.services import Answered, Services, identify, reading, wallet_only
from tollway.domain.call import Caller
from tollway.domain.commands import Balance, Entry
from tollway.domain.errors import RequestError
from tollway.domain.money import NANO_PER_MICRO, format_usd
from tollway.limits.addresses import address_of

PAGE_DEFAULT = 50
PAGE_MAX = 500
_DIGITS_MAX = 9  # more than any page has; Python refuses to read a number of thousands


class BalanceView(msgspec.Struct, kw_only=True):
    """GET /session/balance. Micro-USDC is rounded down: never more than there is."""

    caip_account_id: str
    balance_micro_usdc: int
    balance_usd: str
    held_usd: str
    total_usd: str


class EntryView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of GET /session/transactions. Amounts are decimal USD strings, below zero for a credit taken back."""

    id: str
    at: int  # Unix milliseconds
    kind: str
    amount_usd: str
    returned_usd: str | None = None
    ref: str | None = None  # of a credit; of a reversal the reason
    model: str | None = None


class StatementPage(msgspec.Struct, kw_only=True):
    """The newest first; `next_cursor` asks for the page after this one, and is null on the last."""

    object: str = "list"
    data: list[EntryView]
    next_cursor: str | None


class NonceView(msgspec.Struct, kw_only=True):
    """A nonce for one sign-in, and the Unix second after which it is refused."""

    nonce: str
    expires_at: int


def entry_view(entry: Entry) -> EntryView:
    return EntryView(
        id=entry.id,
        at=entry.at_ms,
        kind=entry.kind,
        amount_usd=format_usd(entry.amount),
        returned_usd=format_usd(entry.returned) if entry.kind == "post" else None,
        ref=entry.ref,
        model=entry.model,
    )


async def balance(services: Services, request: Request) -> Answered:
    caller = await identify(services, request)
    await services.pipeline.welcome(caller)
    if caller.key is not None:
        return Answered(value=await _of_key(services, caller))
    found = await services.ledger.balance(caller.account)
    has = found or Balance(
        account=caller.account, debits_pending=0, debits_posted=0, credits_pending=0, credits_posted=0
    )
    return Answered(
        value=BalanceView(
            caip_account_id=caller.caip_account_id,
            balance_micro_usdc=has.available // NANO_PER_MICRO,
            balance_usd=format_usd(has.available),
            held_usd=format_usd(has.debits_pending),
            total_usd=format_usd(has.total),
        )
    )


async def _of_key(services: Services, caller: Caller) -> BalanceView:
    """What a delegated key can spend: the lesser of its limit's rest and its wallet's balance. Nothing else of the
    wallet is its business."""
    state = await services.sign_in.keys.check(caller)
    has = await services.ledger.balance(caller.account)
    free = max(0, has.available) if has is not None else 0
    available = free if state.left is None else min(free, state.left)
    return BalanceView(
        caip_account_id=caller.caip_account_id,
        balance_micro_usdc=available // NANO_PER_MICRO,
        balance_usd=format_usd(available),
        held_usd=format_usd(state.held),
        total_usd=format_usd(available + state.held),
    )


async def nonce(services: Services, request: Request) -> Answered:
    await services.pipeline.snapshot.door.nonce(address_of(request.scope.get("client")))
    value, expires = services.sign_in.issue_nonce()
    return Answered(value=NonceView(nonce=value, expires_at=expires), headers=[(b"cache-control", b"no-store")])


async def transactions(services: Services, request: Request) -> Answered:
    async with reading(services, request) as caller:
        limit = page_size(request.query_params.get("limit"), PAGE_DEFAULT)
        try:
            page = await services.ledger.statement(
                wallet_only(caller).account, limit=limit, cursor=request.query_params.get("cursor") or None
            )
        except ValueError:
            raise RequestError(
                "This cursor is not one of ours: leave it out for the newest page.", param="cursor"
            ) from None
    return Answered(
        value=StatementPage(data=[entry_view(entry) for entry in page.entries], next_cursor=page.next_cursor)
    )


async def revoke(services: Services, request: Request) -> Answered:
    caller = wallet_only(await identify(services, request))
    await services.sign_in.revoke(caller)
    return Answered(status=204)


def page_size(text: str | None, default: int) -> int:
    """A `limit` of a query. Raises RequestError."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > _DIGITS_MAX or not 1 <= int(text) <= PAGE_MAX:
        raise RequestError(f"limit is a number from 1 to {PAGE_MAX}.", param="limit")
    return int(text)
