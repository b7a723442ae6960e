"""Who connects, where a proxy stands in between: trusted proxies are believed, and nobody else."""

import ipaddress
import logging
from typing import Any

import pytest

from helpers.running import Running, chat, running
from tollway.api.forwarded import seen_through

TRUSTED = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32")))
PROXIED = '[server]\ntrusted_proxies = ["127.0.0.0/8"]\n'


def client(peer: str, *headers: str) -> tuple[str, int]:
    scope: dict[str, Any] = {
        "client": (peer, 4711),
        "scheme": "http",
        "headers": [(b"x-forwarded-for", value.encode("latin-1")) for value in headers],
    }
    found: tuple[str, int] = seen_through(TRUSTED, scope)["client"]
    return found


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["198.51.100.9, 192.0.2.7"], "192.0.2.7"),
        (["198.51.100.9", "192.0.2.7"], "192.0.2.7"),
        (["10.9.9.9, 192.0.2.7, 10.0.0.5,10.0.0.4"], "192.0.2.7"),
        (["192.0.2.7", "10.0.0.5"], "192.0.2.7"),
        (["10.0.0.6, 10.0.0.5"], "10.0.0.6"),
        (["192.0.2.7:60000"], "192.0.2.7"),
        (["[2001:db8:1::1]:443, 10.0.0.5"], "2001:db8:1::1"),
        (["2a00::7"], "2a00::7"),
        (["::ffff:192.0.2.7"], "192.0.2.7"),
        (["198.51.100.9, ::ffff:10.0.0.5"], "198.51.100.9"),
        (["2a00::7%made-up \x1b[2J, 10.0.0.5"], "2a00::7"),
    ],
)
def test_the_rightmost_address_that_is_no_trusted_proxys_is_the_client(headers: list[str], expected: str) -> None:
    assert client("10.0.0.1", *headers) == (expected, 0)


def test_without_an_address_that_can_be_read_the_last_one_told_by_a_trusted_proxy_stands() -> None:
    assert client("10.0.0.1") == ("10.0.0.1", 4711)
    assert client("10.0.0.1", "") == ("10.0.0.1", 4711)
    assert client("10.0.0.1", "192.0.2.7, unknown") == ("10.0.0.1", 4711)
    assert client("10.0.0.1", "192.0.2.7, _hidden, 10.0.0.5") == ("10.0.0.5", 0)
    assert client("10.0.0.1", "\xff\xfe") == ("10.0.0.1", 4711)


@pytest.mark.parametrize("peer", ["192.0.2.1", "::1", "2001:db9::1", "testclient", ""])
def test_from_anybody_else_it_is_ignored(peer: str) -> None:
    assert client(peer, "192.0.2.7") == (peer, 4711)


def test_a_proxy_that_is_seen_by_its_mapped_address_is_the_same_proxy() -> None:
    assert client("::ffff:10.0.0.1", "192.0.2.7") == ("192.0.2.7", 0)


@pytest.mark.parametrize(
    ("peer", "told", "expected"),
    [
        ("10.0.0.1", ["https"], "https"),
        ("10.0.0.1", ["http", "HTTPS"], "https"),
        ("10.0.0.1", ["http, https"], "https"),
        ("10.0.0.1", ["gopher"], "http"),
        ("10.0.0.1", [], "http"),
        ("192.0.2.1", ["https"], "http"),
    ],
)
def test_the_scheme_is_what_the_nearest_trusted_proxy_says(peer: str, told: list[str], expected: str) -> None:
    headers = [(b"x-forwarded-proto", value.encode()) for value in told]
    assert seen_through(TRUSTED, {"client": (peer, 1), "scheme": "http", "headers": headers})["scheme"] == expected


# --- through HTTP


async def refused_from(router: Running, caplog: pytest.LogCaptureFixture, **headers: str) -> str:
    """The address that the log has of a request that is refused."""
    caplog.clear()
    with caplog.at_level(logging.INFO, "tollway"):
        assert (await router.post(None, chat(), **headers)).status_code == 401
    (line,) = [record.getMessage() for record in caplog.records if '"event":"refused"' in record.getMessage()]
    return line.partition('"client":"')[2].partition('"')[0]


async def test_the_log_has_the_clients_address_and_not_the_proxys(caplog: pytest.LogCaptureFixture) -> None:
    told = {"x-forwarded-for": "198.51.100.9, 192.0.2.7"}
    async with running(config=PROXIED) as router:
        assert await refused_from(router, caplog, **told) == "192.0.2.7"
        assert await refused_from(router, caplog) == "127.0.0.1"
    async with running() as router:
        assert await refused_from(router, caplog, **told) == "127.0.0.1"


async def test_whom_to_trust_is_reloaded(caplog: pytest.LogCaptureFixture) -> None:
    async with running(config=PROXIED) as router:
        assert await router.reload(('["127.0.0.0/8"]', '["192.0.2.0/24"]'))
        assert await refused_from(router, caplog, **{"x-forwarded-for": "192.0.2.7"}) == "127.0.0.1"


async def test_a_call_through_a_trusted_proxy_is_served() -> None:
    async with running(config=PROXIED) as router:
        wallet = await router.wallet("1")
        told = {"x-forwarded-for": "192.0.2.7", "x-forwarded-proto": "https"}
        assert (await router.post(wallet, chat(), **told)).status_code == 200
        assert not any(name.startswith("x-forwarded") for name, _ in router.simulator.log[-1].headers)
