"""A request's head, byte by byte, and the place it goes to."""

import pytest

from tollway.domain.proxies import Proxy
from tollway.domain.seams import HttpRequest
from tollway.upstream.http1.request import Place, Prepared, prepare

PROXY = Proxy(host="proxy.test", port=3128, authorization="Basic eA==")


def prepared(url: str, *headers: tuple[str, str], method: str = "POST", proxy: Proxy | None = None) -> Prepared:
    request = HttpRequest(method=method, url=url, headers=headers, body=b"", connect_timeout=1)
    return prepare(request, lambda scheme, host, port: proxy)


def test_a_head_is_the_line_the_host_and_the_headers_as_given() -> None:
    head = prepared("https://a.test/v1?b=c", ("x-a", "1"), ("x-b", "2 3")).with_length(7)
    assert head == b"POST /v1?b=c HTTP/1.1\r\nhost: a.test\r\nx-a: 1\r\nx-b: 2 3\r\ncontent-length: 7\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "length", "has"),
    [
        ("POST", 0, True),
        ("PUT", 0, True),
        ("GET", 0, False),
        ("GET", 3, True),
        ("HEAD", 0, False),
        ("DELETE", 0, False),
    ],
)
def test_a_length_is_said_where_a_body_may_be_expected(method: str, length: int, has: bool) -> None:
    assert (b"content-length" in prepared("http://a.test", method=method).with_length(length)) is has


@pytest.mark.parametrize(
    ("url", "place", "line", "host"),
    [
        ("http://a.test", Place("a.test", 80, False, None), "POST / HTTP/1.1", "a.test"),
        ("http://A.Test:80/", Place("a.test", 80, False, None), "POST / HTTP/1.1", "a.test"),
        ("https://a.test:80/", Place("a.test", 80, True, None), "POST / HTTP/1.1", "a.test:80"),
        ("https://a.test:443/x/", Place("a.test", 443, True, None), "POST /x/ HTTP/1.1", "a.test"),
        ("http://[::1]:8080/x", Place("::1", 8080, False, None), "POST /x HTTP/1.1", "[::1]:8080"),
        (
            "http://bü.test/ü?ü=%C3",
            Place("xn--b-eha.test", 80, False, None),
            "POST /%C3%BC?%C3%BC=%C3 HTTP/1.1",
            "xn--b-eha.test",
        ),
        ("http://a.test/x#y", Place("a.test", 80, False, None), "POST /x HTTP/1.1", "a.test"),
    ],
)
def test_a_url_says_where_and_what(url: str, place: Place, line: str, host: str) -> None:
    found = prepared(url)
    assert found.place == place
    assert found.head.decode() == f"{line}\r\nhost: {host}\r\n"


def test_plain_http_through_a_proxy_leads_to_the_proxy_and_https_through_it() -> None:
    plain = prepared("http://a.test/x", proxy=PROXY)
    assert plain.place == Place("proxy.test", 3128, False, None)
    assert plain.head == b"POST http://a.test/x HTTP/1.1\r\nhost: a.test\r\nproxy-authorization: Basic eA==\r\n"
    secured = prepared("https://a.test/x", proxy=PROXY)
    assert secured.place == Place("a.test", 443, True, PROXY)
    assert secured.head == b"POST /x HTTP/1.1\r\nhost: a.test\r\n"


@pytest.mark.parametrize(
    "url",
    [
        "a.test",
        "ftp://a.test",
        "http://",
        "http://a b",
        "http://a.test/\n",
        "http://a.test/\x7f",
        "http://u@a.test",
        "http://:p@a.test",
        "http://a.test:x",
        "http://a.test:65536",
        "http://[::1",
        f"http://{'a' * 64}.test",
        f"http://{'ü' * 64}.test",
    ],
)
def test_what_leads_nowhere_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        prepared(url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nb: c"),
        ("x", "a\nb"),
        ("x", "a\0"),
        ("x", " a"),
        ("x", "a "),
        ("x", "ü"),
        ("", "a"),
        ("x y", "a"),
        ("x:", "a"),
        ("x\r\n", "a"),
        ("Host", "a"),
        ("content-length", "1"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("upgrade", "h2c"),
        ("proxy-authorization", "x"),
    ],
)
def test_a_header_that_would_frame_the_message_is_refused_without_its_value(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="can't be sent") as refused:
        prepared("http://a.test", (name, f"{value[:1]}secret{value[1:]}"))
    assert "secret" not in str(refused.value)
