from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.config.places import (
    Address,
    LedgerUrl,
    address,
    address_or_none,
    domain,
    is_loopback,
    ledger_url,
    local_url,
    origin,
    url,
    url_text,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("[::1]:0", Address("::1", 0)),
        ("localhost:65535", Address("localhost", 65535)),
    ],
)
def test_an_address_is_host_and_port_and_prints_as_written(text: str, expected: Address) -> None:
    assert address(text) == expected
    assert str(expected) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "host:port"),
        (":8080", "host:port"),
        ("::1:8080", "host:port"),
        ("http://127.0.0.1:80", "host:port"),
        ("a b:80", "host:port"),
        ("127.0.0.1:80\n", "host:port"),
        ("127.0.0.1", 'the port is missing: "127.0.0.1:8080"'),
        ("127.0.0.1:65536", "at most 65535"),
        ("127.0.0.256:80", "no valid IP address"),
        ("127.1:80", "no valid IP address"),
        ("[127.0.0.1]:80", "no valid IP address"),
        ("[:::1]:80", "no valid IP address"),
    ],
)
def test_what_is_no_address_says_what_one_is(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("[", r"\[")):
        address(text)


def test_an_empty_address_is_none_where_there_may_be_none() -> None:
    assert address_or_none("") is None
    assert address_or_none("[::]:1") == Address("::", 1)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost.", "a.localhost"])
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example.com", "notlocalhost"])
def test_every_other_host_counts_as_public(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("text", "normal", "authority"),
    [
        ("https://router.example.com", "https://router.example.com", "router.example.com"),
        ("HTTPS://Router.Example.com/", "https://router.example.com", "router.example.com"),
        ("https://a.example:443/V1/", "https://a.example/V1", "a.example"),
        ("http://a.example:443", "http://a.example:443", "a.example:443"),
        ("http://[::1]:8080", "http://[::1]:8080", "[::1]:8080"),
        ("http://127.0.0.1:80", "http://127.0.0.1", "127.0.0.1"),
    ],
)
def test_a_url_has_one_spelling(text: str, normal: str, authority: str) -> None:
    assert url_text(text) == normal
    assert url(text).authority == authority


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "starts with https://"),
        ("router.example.com", "starts with https://"),
        ("ftp://router.example.com", "starts with https://"),
        ("https://a b", "starts with https://"),
        ("https://exämple.com", "starts with https://"),
        ("https://", "expected a host"),
        ("https:///v1", "expected a host"),
        ("https://a:b", "expected a host"),
        ("https://user:pw@a.example", "user or password"),
        ("https://a.example?x=1", "query"),
        ("https://a.example/v1#x", "fragment"),
        ("https://a.example:70000", "65535"),
    ],
)
def test_what_is_no_url_says_what_one_is(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        url(text)


def test_a_domain_is_a_host_with_or_without_a_port_in_lower_case() -> None:
    assert domain("Router.Example.com:8443") == "router.example.com:8443"
    with pytest.raises(ValueError, match="without a scheme"):
        domain("https://router.example.com")


@pytest.mark.parametrize(
    ("listen", "reached"),
    [
        (Address("0.0.0.0", 8080), "http://127.0.0.1:8080"),
        (Address("::", 80), "http://[::1]:80"),
        (Address("LOCALHOST", 1), "http://localhost:1"),
    ],
)
def test_a_listener_is_reached_on_its_own_machine(listen: Address, reached: str) -> None:
    assert local_url(listen) == reached


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("memory:", LedgerUrl(store="memory")),
        ("sqlite:///tollway.db", LedgerUrl(store="sqlite", path=Path("tollway.db"))),
        ("sqlite:///data/a b.db", LedgerUrl(store="sqlite", path=Path("data/a b.db"))),
        ("sqlite:////var/lib/t.db", LedgerUrl(store="sqlite", path=Path("/var/lib/t.db"))),
    ],
)
def test_a_ledger_is_a_file_or_memory(text: str, expected: LedgerUrl) -> None:
    assert ledger_url(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://tollway@db.example:5432/tollway",
        "postgres:///tollway",
        "postgresql://u@[::1]:5433/books?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://u@a:5432,b:5432/books",
    ],
)
def test_a_ledger_on_postgresql_is_what_libpq_takes(text: str) -> None:
    assert ledger_url(text) == LedgerUrl(store="postgresql", conninfo=text)


@pytest.mark.parametrize(
    "text",
    ["postgresql://u:p@h/db", "postgresql://u:@h/db", "postgresql://h/db?password=p", "postgres:///b?a=1&PASSWORD=p"],
)
def test_a_password_is_refused_in_a_ledgers_url(text: str) -> None:
    with pytest.raises(ValueError, match=r"must not carry a password: use ledger\.password_env"):
        ledger_url(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgres://h",
        "postgresql+psycopg://h/db",
        "postgresql://h/",
        "postgresql://h/a b",
        "postgresql:db",
        "postgres://a@b@c/d",
    ],
)
def test_what_is_no_url_of_a_database_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match='expected "postgresql://user@host:port/database"'):
        ledger_url(text)


@pytest.mark.parametrize(
    "text",
    ["", "tollway.db", "sqlite://", "sqlite:///", "sqlite://h/x.db", "sqlite:///:memory:", "sqlite:///data/", "memory"],
)
def test_what_is_no_ledger_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite:///tollway\.db"):
        ledger_url(text)


@pytest.mark.parametrize("text", ["sqlite:///x.db?mode=ro", "sqlite:///x#y", "sqlite:///x\0y"])
def test_a_ledgers_file_takes_no_options(text: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        ledger_url(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*", "*"),
        ("https://App.Example.com", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://localhost:5173", "http://localhost:5173"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("tauri://localhost", "tauri://localhost"),
    ],
)
def test_an_origin_is_written_as_browsers_send_it(text: str, expected: str) -> None:
    assert origin(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://app.example.com/", "an origin has no path"),
        ("https://app.example.com/app", "an origin has no path"),
        ("app.example.com", "expected a URL"),
        ("null", "expected a URL"),
        ("https://*.example.com", "expected a host"),
        ("https://app.example.com\r\nx: y", "expected a URL"),
        ("chrome-extension://abc\n", "expected a URL"),
        ("", "expected a URL"),
    ],
)
def test_what_no_browser_sends_as_an_origin_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        origin(text)


@pytest.mark.parametrize("parse", [address, address_or_none, url_text, domain, origin, ledger_url])
@given(text=st.text() | st.from_regex(r"(https?://)?[\[\]0-9a-f:.]{1,20}(/.*)?"))
def test_any_text_is_a_place_or_a_value_error(parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        assert str(error)


@given(text=st.from_regex(r"https?://([a-z0-9.-]{1,12}|\[::[0-9a-f]{1,4}\])(:[0-9]{1,5})?(/[a-z/]*)?", fullmatch=True))
def test_the_normal_form_of_a_url_stays_as_it_is(text: str) -> None:
    try:
        normal = url_text(text)
    except ValueError:
        return
    assert url_text(normal) == normal
