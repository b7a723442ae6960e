"""Who calls by a delegated key: what is looked up, what is remembered, and what is asked anew."""

import re

import pytest

from helpers.ledgers import START_MS, WALLET, HandClock, fresh_id
from tollway.auth.keys import KNOWN_MS, KeyRing, hash_of, is_key, new_secret
from tollway.auth.policy import SignInSettings
from tollway.auth.signin import SignIn
from tollway.domain.commands import CreateKey, EndKey
from tollway.domain.errors import (
    AccountNotAllowed,
    InvalidKey,
    InvalidSignIn,
    KeyEnded,
    KeyExpired,
    RateLimited,
    WalletRequired,
)
from tollway.domain.keys import Key, KeyState
from tollway.ledger.memory import MemoryLedger
from tollway.wire import chains


class CountingLedger(MemoryLedger):
    asked = 0

    async def key(self, secret_hash: str) -> KeyState | None:
        self.asked += 1
        return await super().key(secret_hash)


class Desk:
    """A sign-in on books with one key."""

    def __init__(self, **settings: object) -> None:
        self.clock = HandClock()
        self.ledger = CountingLedger(self.clock)
        given = {"domains": ("router.example",), "chains": (chains.SOLANA_MAINNET, "eip155:*"), **settings}
        self.sign_in = SignIn(SignInSettings(**given), self.ledger, self.clock, bytes(32))  # type: ignore[arg-type]
        self.secret = new_secret()

    async def give_out(self, **terms: object) -> str:
        key = Key(id=fresh_id(), account=WALLET, created_ms=START_MS, **terms)  # type: ignore[arg-type]
        await self.ledger.apply([CreateKey(key=key, secret_hash=hash_of(self.secret))])
        return key.id

    @property
    def bearer(self) -> bytes:
        return f"Bearer {self.secret}".encode()


def test_a_secret_is_256_random_bits_behind_a_word_that_tells_what_it_is() -> None:
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    assert all(re.fullmatch(r"tollway_[A-Za-z0-9_-]{43}", secret) for secret in secrets)


def test_what_is_kept_of_a_secret_is_its_sha256() -> None:
    assert hash_of("abc") == hash_of(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_nothing_but_a_key_begins_as_one() -> None:
    assert is_key(b"tollway_x")
    assert not is_key(b"eyJtZXNzYWdlIjoi")
    assert not is_key(b"")


async def test_a_key_speaks_for_its_wallet() -> None:
    desk = Desk()
    own = await desk.give_out(label="agent")
    caller = await desk.sign_in.identify(None, desk.bearer)
    assert caller.account == WALLET
    assert caller.key is not None
    assert (caller.key.id, caller.key.label) == (own, "agent")
    assert caller.expires_at == 0


async def test_a_sign_in_wins_over_a_key() -> None:
    desk = Desk()
    await desk.give_out()
    with pytest.raises(InvalidSignIn):
        await desk.sign_in.identify(b"nonsense", desk.bearer)


async def test_a_key_is_no_sign_in_header() -> None:
    desk = Desk()
    await desk.give_out()
    with pytest.raises(InvalidSignIn):
        await desk.sign_in.identify(desk.secret.encode(), None)


@pytest.mark.parametrize("tail", ["", "x", "x" * 43, "x" * 44, "é" * 43, "x" * 100_000, "x" * 42 + "\n"])
async def test_whatever_key_it_isnt_is_unknown_in_the_same_words(tail: str) -> None:
    desk = Desk()
    await desk.give_out()
    with pytest.raises(InvalidKey, match="none of this router") as refused:
        await desk.sign_in.identify(None, f"Bearer tollway_{tail}".encode())
    assert "xx" not in refused.value.message


async def test_terms_are_looked_up_once_and_again_after_a_while() -> None:
    desk = Desk()
    await desk.give_out()
    for _ in range(3):
        await desk.sign_in.identify(None, desk.bearer)
    assert desk.ledger.asked == 1
    desk.clock.ms += KNOWN_MS
    await desk.sign_in.identify(None, desk.bearer)
    assert desk.ledger.asked == 2


async def test_an_unknown_key_may_be_refused_before_it_is_looked_up() -> None:
    desk = Desk()
    await desk.give_out()

    async def tired() -> None:
        raise RateLimited("later")

    with pytest.raises(RateLimited):
        await desk.sign_in.identify(None, desk.bearer, unknown=tired)
    assert desk.ledger.asked == 0
    await desk.sign_in.identify(None, desk.bearer)
    await desk.sign_in.identify(None, desk.bearer, unknown=tired)


async def test_an_end_is_asked_for_anew() -> None:
    desk = Desk()
    own = await desk.give_out()
    caller = await desk.sign_in.identify(None, desk.bearer)
    assert (await desk.sign_in.keys.check(caller)).ended_ms is None
    await desk.ledger.apply([EndKey(id=own, account=WALLET)])
    with pytest.raises(KeyEnded):
        await desk.sign_in.keys.check(caller)


async def test_a_key_that_the_books_have_lost_is_unknown() -> None:
    desk = Desk()
    await desk.give_out()
    caller = await desk.sign_in.identify(None, desk.bearer)
    other = KeyRing(MemoryLedger(desk.clock), desk.clock, lambda account: None)
    with pytest.raises(InvalidKey):
        await other.check(caller)


async def test_an_expired_key_is_refused_known_or_not() -> None:
    desk = Desk()
    await desk.give_out(expires_ms=START_MS + 1000)
    caller = await desk.sign_in.identify(None, desk.bearer)
    assert caller.expires_at == (START_MS + 1000) // 1000
    desk.clock.ms += 1000
    for _ in range(2):
        with pytest.raises(KeyExpired):
            await desk.sign_in.identify(None, desk.bearer)


async def test_a_key_is_worth_no_more_than_its_wallet() -> None:
    desk = Desk(deny=(WALLET,))
    await desk.give_out()
    with pytest.raises(AccountNotAllowed):
        await desk.sign_in.identify(None, desk.bearer)


async def test_a_key_never_does_what_needs_a_fresh_signature() -> None:
    desk = Desk()
    await desk.give_out()
    with pytest.raises(WalletRequired):
        await desk.sign_in.identify(None, desk.bearer, scope="urn:tollway:scope:keys")
