"""/keys: a wallet gives out, lists and ends delegated keys. Only the wallet itself; a new key only by a signature that
was made for nothing else: on a fresh nonce of ours, with the scope in its Resources."""

import asyncio
import functools
import re
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from tollway.api.services import Answered, Services, identify, reading, wallet_only
from tollway.api.session import PAGE_DEFAULT, page_size
from tollway.auth.keys import hash_of, new_secret
from tollway.domain.call import Caller
from tollway.domain.commands import Command, CreateKey, EndKey, KeyCreated, KeyEnded, Result
from tollway.domain.errors import (
    ClientGone,
    InsufficientBalance,
    InternalError,
    LedgerOutcomeUnknown,
    LedgerUnavailable,
    NotFound,
    RequestError,
    RequestTimeout,
    RequestTooLarge,
)
from tollway.domain.ids import id_time_ms, new_id
from tollway.domain.keys import Key, KeyState, Period
from tollway.domain.money import format_usd, parse_usd
from tollway.limits.addresses import address_of
from tollway.wire import json

SCOPE = "urn:tollway:scope:keys"

BODY_BYTES_MAX = 16 * 1024  # fifty models with the longest names fit
LABEL_CHARS_MAX = 100
MODELS_MAX = 50
# A wallet's: with an end or without, so that a listing stays one; and those without one.
KEYS_MAX = 10_000
LIVING_MAX = 1_000
_WHERE = re.compile(r"at `\$\.(\w+)|unknown field `(\w+)`")  # in what msgspec says of a member
EXPIRY_S_MAX = 253_402_300_799  # 9999-12-31T23:59:59Z


class KeyRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /keys. Every member may be left out."""

    label: str = ""
    limit_usd: str | None = None  # decimal USD for each period; null: only the balance limits it
    period: Period = "lifetime"
    expires_at: int | None = None  # Unix seconds
    models: list[str] = []  # ids or aliases; none: every model


class KeyView(msgspec.Struct, kw_only=True):
    """A delegated key. Times in Unix seconds; `spent_usd` and `held_usd` are of the period that is now."""

    id: str
    object: str = "key"
    label: str
    limit_usd: str | None
    period: Period
    models: tuple[str, ...]
    created_at: int
    expires_at: int | None
    ended_at: int | None
    spent_usd: str
    held_usd: str


class NewKeyView(KeyView, kw_only=True):
    """The only answer that ever has the secret."""

    key: str


class KeyList(msgspec.Struct, kw_only=True):
    """The newest first; `next_cursor` asks for the page after this one, and is null on the last."""

    object: str = "list"
    data: list[KeyView]
    next_cursor: str | None


async def create(services: Services, request: Request) -> Answered:
    caller = await _by_fresh_signature(services, request)
    asked = await _asked(services, request)
    key = _key(services, caller, asked)
    await _known(services, caller)
    page = await services.ledger.keys(caller.account, limit=1)
    if page.living >= LIVING_MAX or page.total >= KEYS_MAX:
        most = f"{LIVING_MAX} keys without an end" if page.living >= LIVING_MAX else f"{KEYS_MAX} keys in all"
        raise RequestError(f"This wallet has {most}, and no more are given out: end some, or share one.")
    secret = new_secret()
    result = await _apply(services, CreateKey(key=key, secret_hash=hash_of(secret)))
    if not isinstance(result, KeyCreated):
        raise InternalError(f"The ledger refused a key ({result}).")
    view = NewKeyView(key=secret, **_members(KeyState(key=key)))
    return Answered(status=201, value=view, headers=[(b"cache-control", b"no-store")])


async def listing(services: Services, request: Request) -> Answered:
    limit = page_size(request.query_params.get("limit"), PAGE_DEFAULT)
    async with reading(services, request) as caller:
        account = wallet_only(caller).account
        try:
            page = await services.ledger.keys(account, limit=limit, cursor=request.query_params.get("cursor") or None)
        except ValueError:
            raise RequestError(
                "This cursor is not one of ours: leave it out for the newest page.", param="cursor"
            ) from None
    shown = [KeyView(**_members(state)) for state in page.keys]
    return Answered(value=KeyList(data=shown, next_cursor=page.next_cursor))


async def end(services: Services, request: Request) -> Answered:
    """Idempotent. Calls in flight end as they would; what comes after them is refused."""
    caller = wallet_only(await identify(services, request))
    name = request.path_params["id"]
    command = EndKey(id=name, account=caller.account)
    result = await _apply(services, command) if id_time_ms(name) is not None else None
    if not isinstance(result, KeyEnded):
        raise NotFound("This wallet has no key of that id: GET /keys lists them.", param="id")
    return Answered(status=204)


async def _known(services: Services, caller: Caller) -> None:
    """Only for wallets that the books know, where calls have to be paid for: anybody can make wallets without end, and
    what is kept of a key is kept for good. Raises InsufficientBalance, LedgerUnavailable."""
    if services.snapshot.unlimited or await services.ledger.balance(caller.account) is not None:
        return
    if not await services.pipeline.welcome(caller):
        raise InsufficientBalance("This wallet has never had a balance for a key to spend: add credit, then try again.")


async def _by_fresh_signature(services: Services, request: Request) -> Caller:
    snapshot = services.pipeline.snapshot
    scoped = functools.partial(snapshot.sign_in.identify, scope=SCOPE)
    headers = dict(request.scope["headers"])
    address = address_of(request.scope.get("client"))
    return await snapshot.door.identify(address, scoped, headers.get(b"sign-in-with-x"), headers.get(b"authorization"))


async def _asked(services: Services, request: Request) -> KeyRequest:
    """Raises RequestError, RequestTooLarge, RequestTimeout, ClientGone."""
    body = b""
    try:
        async with asyncio.timeout(services.pipeline.snapshot.slow_sender_s):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise RequestTooLarge(f"The request is over {BODY_BYTES_MAX} bytes.")
    except TimeoutError:
        raise RequestTimeout("The request came too slowly: send it again.") from None
    except ClientDisconnect:
        raise ClientGone from None
    try:
        return json.decode_as(body or b"{}", KeyRequest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        where = _WHERE.search(str(error))
        name = None if where is None else where[1] or where[2]
        raise RequestError(f"The key that is asked for can't be read: {error}.", param=name) from None


def _key(services: Services, caller: Caller, asked: KeyRequest) -> Key:
    """Raises RequestError, ModelNotFound."""
    now_ms = services.clock.now_ms()
    if len(asked.label) > LABEL_CHARS_MAX or not asked.label.isprintable():
        raise RequestError(f"label has at most {LABEL_CHARS_MAX} printable characters.", param="label")
    if asked.limit_usd is None and asked.period != "lifetime":
        raise RequestError("A period is that of a limit: write limit_usd too.", param="period")
    if asked.expires_at is not None and not now_ms // 1000 < asked.expires_at <= EXPIRY_S_MAX:
        raise RequestError("expires_at is a Unix time in seconds that is still to come.", param="expires_at")
    if len(asked.models) > MODELS_MAX:
        raise RequestError(f"models has at most {MODELS_MAX} entries.", param="models")
    return Key(
        id=new_id(now_ms),
        account=caller.account,
        label=asked.label,
        limit=None if asked.limit_usd is None else _limit(asked.limit_usd),
        period=asked.period,
        models=tuple(dict.fromkeys(_model(services, name, index) for index, name in enumerate(asked.models))),
        created_ms=now_ms,
        expires_ms=None if asked.expires_at is None else asked.expires_at * 1000,
    )


def _limit(text: str) -> int:
    try:
        return parse_usd(text)
    except ValueError as error:
        raise RequestError(f"limit_usd: {error}.", param="limit_usd") from None


def _model(services: Services, name: str, index: int) -> str:
    """The id behind a name, so that an alias means the same tomorrow."""
    found = services.pipeline.snapshot.catalog.resolve(name, f"models[{index}]")
    if found.pinned is not None:
        raise RequestError(f"{name!r} is a pin: allow {found.model.id!r}.", param=f"models[{index}]")
    return found.model.id


async def _apply(services: Services, command: Command) -> Result:
    try:
        return (await services.ledger.apply([command]))[0]
    except LedgerOutcomeUnknown:
        raise LedgerUnavailable("The ledger did not answer: look at GET /keys, then try again.") from None


def _members(state: KeyState) -> dict[str, Any]:
    key = state.key
    return {
        "id": key.id,
        "label": key.label,
        "limit_usd": None if key.limit is None else format_usd(key.limit),
        "period": key.period,
        "models": key.models,
        "created_at": key.created_ms // 1000,
        "expires_at": None if key.expires_ms is None else key.expires_ms // 1000,
        "ended_at": None if state.ended_ms is None else state.ended_ms // 1000,
        "spent_usd": format_usd(state.spent),
        "held_usd": format_usd(state.held),
    }
