"""What one address may do before it has said who it is."""

from collections.abc import Awaitable, Callable

import pytest

from helpers.limiting import Limiting, a_minute
from tollway.domain.call import Caller
from tollway.domain.errors import InvalidSignature, MissingSignIn, RateLimited
from tollway.limits.addresses import Door, address_of

CALLER = Caller(account="eip155:0x1", caip_account_id="eip155:1:0x1", message_hash="", expires_at=0)
KNOWN, GOOD, BAD = b"known", b"good", b"bad"


async def identify(
    sign_in: bytes | None, authorization: bytes | None, *, unknown: Callable[[], Awaitable[None]]
) -> Caller:
    """As auth does: what is known is not examined."""
    if sign_in is None:
        raise MissingSignIn("none")
    if sign_in != KNOWN:
        await unknown()
    if sign_in == BAD:
        raise InvalidSignature("bad")
    return CALLER


async def comes(door: Door, sign_in: bytes | None, address: str = "192.0.2.1") -> Caller:
    return await door.identify(address, identify, sign_in, None)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:0db8:0001:0002::/64"),
        ("2001:db8:1:2::", "2001:0db8:0001:0002::/64"),
        ("fe80::1%eth0", "fe80:0000:0000:0000::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("no:address", "no:address"),
        ("x" * 1000, "x" * 64),
        ("", ""),
    ],
)
def test_an_address_is_what_one_customer_has(host: str, address: str) -> None:
    assert address_of((host, 1234)) == address


def test_a_server_may_not_know_the_address() -> None:
    assert address_of(None) == ""


async def test_an_address_that_fails_too_often_is_not_listened_to_for_a_while() -> None:
    limits = Limiting()
    door = limits.door(failed_sign_ins=a_minute(3))
    for _ in range(3):
        with pytest.raises(InvalidSignature):
            await comes(door, BAD)
    for sign_in in (BAD, GOOD):
        with pytest.raises(RateLimited) as refused:
            await comes(door, sign_in)
    assert refused.value.details == {"limit": {"of": "address", "kind": "failed_sign_ins", "rate": "3/min"}}
    assert await comes(door, KNOWN) is CALLER, "others may be behind the same address"
    assert await comes(door, GOOD, "192.0.2.2") is CALLER
    assert limits.observer.said == [("address", "failed_sign_ins", "")] * 2
    limits.pass_time(61)
    assert await comes(door, GOOD) is CALLER


async def test_no_sign_in_at_all_is_no_failed_one() -> None:
    door = Limiting().door(failed_sign_ins=a_minute(1))
    for _ in range(5):
        with pytest.raises(MissingSignIn):
            await comes(door, None)
    assert await comes(door, GOOD) is CALLER


async def test_without_a_rate_an_address_may_fail_for_ever() -> None:
    limits = Limiting()
    door = limits.door()
    for _ in range(50):
        with pytest.raises(InvalidSignature):
            await comes(door, BAD)
    await door.nonce("192.0.2.1")
    assert len(limits.addresses) == 0


async def test_an_address_gets_so_many_nonces() -> None:
    limits = Limiting()
    door = limits.door(nonces=a_minute(2))
    await door.nonce("192.0.2.1")
    await door.nonce("192.0.2.1")
    with pytest.raises(RateLimited):
        await door.nonce("192.0.2.1")
    await door.nonce("192.0.2.2")
    assert limits.observer.said == [("address", "nonces", "")]


def test_calls_on_their_way_are_so_many_an_address() -> None:
    limits = Limiting()
    door = limits.door(arriving=2)
    door.arriving("a")
    door.arriving("a")
    with pytest.raises(RateLimited):
        door.arriving("a")
    door.arriving("b")
    door.arrived("b")
    door.arrived("a")
    door.arriving("a")
    assert limits.counts.arriving == {"a": 2}
    door.arrived("a")
    door.arrived("a")
    assert limits.counts.arriving == {}
    assert limits.observer.said == [("address", "arriving", "")]


async def test_however_many_addresses_come_memory_stays_bounded() -> None:
    limits = Limiting()
    limits.addresses._keys_max = 100
    door = limits.door(nonces=a_minute(5))
    for number in range(1_000):
        await door.nonce(f"address {number}")
    assert len(limits.addresses) <= 100
    assert len(limits.store) == 0, "wallets are counted apart"
