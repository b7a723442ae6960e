"""Proxies as the environment names them, and which of them leads to which host."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tollway.config import ConfigError
from tollway.config.load import loads
from tollway.config.proxies import proxies_alone, read
from tollway.domain.proxies import NO_PROXIES, Proxies, Proxy

PROXY = Proxy(host="proxy.test", port=3128)
OTHER = Proxy(host="other.test", port=80)


def problem(environ: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as refused:
        proxies_alone(environ)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.test:3128", PROXY),
        ("http://proxy.test:3128/", PROXY),
        ("proxy.test:3128", PROXY),
        ("http://proxy.test", Proxy(host="proxy.test", port=80)),
        ("https://proxy.test", Proxy(host="proxy.test", port=443, tls=True)),
        ("http://[fd00::1]:3128", Proxy(host="fd00::1", port=3128)),
        ("http://user:p%40ss@proxy.test", Proxy(host="proxy.test", port=80, authorization="Basic dXNlcjpwQHNz")),
        ("http://user@proxy.test", Proxy(host="proxy.test", port=80, authorization="Basic dXNlcjo=")),
    ],
)
def test_a_proxy_is_a_url_or_a_host(text: str, proxy: Proxy) -> None:
    assert read(text) == proxy


@pytest.mark.parametrize(
    "text",
    [
        "ftp://proxy.test",
        "http://",
        "http://proxy.test:port",
        "http://proxy.test:99999",
        "http://proxy.test/path",
        "http://proxy.test?a=b",
        "http://pro xy.test",
        "http://[fd00::1",
        "user:secret@",
    ],
)
def test_what_is_no_proxy_stops_the_start_by_its_variable_and_is_not_shown(text: str) -> None:
    said = problem({"HTTPS_PROXY": text})
    assert said.startswith("HTTPS_PROXY: expected an HTTP proxy")
    assert "secret" not in said


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "socks"])
def test_a_socks_proxy_is_refused_in_so_many_words_and_once(scheme: str) -> None:
    said = problem({"ALL_PROXY": f"{scheme}://user:secret@proxy.test:1080"})
    assert said.startswith("ALL_PROXY: SOCKS proxies are not spoken")
    assert "secret" not in said
    assert said.count("SOCKS") == 1


def test_a_mistake_about_a_proxy_is_told_with_the_others_of_the_configuration() -> None:
    with pytest.raises(ConfigError) as refused:
        loads("[server]\nlisten = 5\n", {"http_proxy": "socks5://x"}, Path())
    assert {"server.listen", "http_proxy"} <= {problem.key for problem in refused.value.problems}


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, None, None),
        ({"HTTP_PROXY": "proxy.test:3128"}, PROXY, None),
        ({"HTTPS_PROXY": "proxy.test:3128"}, None, PROXY),
        ({"ALL_PROXY": "proxy.test:3128"}, PROXY, PROXY),
        ({"ALL_PROXY": "proxy.test:3128", "https_proxy": "other.test"}, PROXY, OTHER),
        ({"HTTPS_PROXY": "proxy.test:3128", "https_proxy": "other.test"}, None, OTHER),
        ({"ALL_PROXY": "proxy.test:3128", "HTTPS_PROXY": ""}, PROXY, None),
        ({"ALL_PROXY": "socks5://x", "HTTPS_PROXY": "proxy.test:3128", "HTTP_PROXY": "other.test"}, OTHER, PROXY),
    ],
)
def test_the_most_particular_variable_counts_and_an_empty_one_means_none(
    environ: Mapping[str, str], http: Proxy | None, https: Proxy | None
) -> None:
    assert proxies_alone(environ) == Proxies(http=http, https=https)


def test_without_a_variable_there_is_no_proxy_and_the_configuration_can_name_none() -> None:
    assert proxies_alone({}) == NO_PROXIES
    with pytest.raises(ConfigError, match="proxies are read from the environment"):
        loads('[proxies]\nhttp = "proxy.test"\n', {}, Path())


@pytest.mark.parametrize(
    ("direct", "host", "is_direct"),
    [
        ("", "provider.test", False),
        ("", "localhost", True),
        ("", "router.localhost", True),
        ("", "127.9.9.9", True),
        ("", "::1", True),
        ("provider.test", "provider.test", True),
        ("provider.test", "PROVIDER.test.", True),
        ("provider.test", "api.provider.test", True),
        ("provider.test", "otherprovider.test", False),
        (".provider.test", "provider.test", True),
        ("*.provider.test", "api.provider.test", True),
        ("a.test, b.test c.test", "c.test", True),
        ("*", "provider.test", True),
        ("provider.test:443", "provider.test", True),
        ("provider.test:8443", "provider.test", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1:444", "10.0.0.1", False),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]", "fd00::1", True),
        ("fd00::1", "10.0.0.1", False),
        ("10.0.0.0/99", "10.0.0.1", False),
    ],
)
def test_hosts_are_asked_directly_where_it_is_said_and_on_this_machine(direct: str, host: str, is_direct: bool) -> None:
    ways = proxies_alone({"ALL_PROXY": "proxy.test:3128", "NO_PROXY": direct})
    assert ways.of("https", host, 443) == (None if is_direct else PROXY)


@pytest.mark.parametrize("text", ["a.test;b.test", ",".join(["a.test"] * 1_001), "a\0b"])
def test_hosts_that_can_be_none_stop_the_start(text: str) -> None:
    assert problem({"NO_PROXY": text}).startswith("NO_PROXY: expected at most 1000 hosts")


def test_what_a_proxy_asks_for_is_not_shown() -> None:
    assert "secret" not in repr(Proxies(http=Proxy(host="proxy.test", port=80, authorization="secret")))
