"""What a head may not say beyond what the parser sees to."""

import pytest

from tollway.server import head
from tollway.server.head import Header, framing

HOST = (b"host", b"router.example")


def complaint(version: str, target: bytes, headers: list[Header]) -> str | None:
    return head.complaint(version, target, headers, dict(headers))


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"router.example",
        b"router.example:8080",
        b"router.example:",
        b"192.0.2.1:1",
        b"[2001:db8::1]",
        b"[fe80::1%25eth0]:80",
        b"a_b",
    ],
)
def test_a_host_with_an_optional_port_is_right(host: bytes) -> None:
    assert complaint("1.1", b"/", [(b"host", host)]) is None


@pytest.mark.parametrize(
    "host", [b"a b", b"a,b/", b"a@b", b"a/b", b"a?b", b"a#b", b"a:b", b"a:1:2", b"[::1", b"[]", b"\xff", b"a\n"]
)
def test_what_is_no_host_is_refused(host: bytes) -> None:
    assert complaint("1.1", b"/", [(b"host", host)]) == "The Host header is no host with an optional port."


def test_a_request_has_one_host_but_for_one_that_predates_it() -> None:
    one = "A request has exactly one Host header."
    assert complaint("1.1", b"/", []) == complaint("1.1", b"/", [HOST, HOST]) == one
    assert complaint("1.0", b"/", [HOST, HOST]) == one
    assert complaint("1.1", b"/", [(b"host", b"a b"), HOST]) == one
    assert complaint("1.1", b"/", [HOST, (b"a", b"1"), (b"a", b"2")]) is None
    assert complaint("1.0", b"/", []) is complaint("1.0", b"/", [HOST]) is None


@pytest.mark.parametrize("version", ["0.9", "2.0", "1.2"])
def test_other_versions_are_not_spoken(version: str) -> None:
    assert complaint(version, b"/", [HOST]) == "This router speaks HTTP/1.1 and HTTP/1.0."


def test_a_target_has_no_fragment() -> None:
    assert complaint("1.1", b"/a?b#c", [HOST]) == "A request's target has no fragment (#)."
    assert complaint("1.1", b"/a?b%23c", [HOST]) is None


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity", b"", b"chunked, chunked", b"xchunked"])
def test_chunks_are_the_only_coding(coding: bytes) -> None:
    said = complaint("1.1", b"/", [HOST, (b"transfer-encoding", coding)])
    assert said is not None and "transfer-encoding: chunked" in said
    assert complaint("1.1", b"/", [HOST, (b"transfer-encoding", coding), (b"transfer-encoding", b"chunked")]) == said


def test_chunks_came_with_1_1() -> None:
    chunked = (b"transfer-encoding", b"Chunked")
    assert complaint("1.1", b"/", [HOST, chunked]) is None
    assert complaint("1.0", b"/", [HOST, chunked]) is not None


def test_framing_is_all_that_is_repeated() -> None:
    headers = [HOST, (b"upgrade", b"h2c"), (b"content-length", b"5"), (b"connection", b"upgrade")]
    assert framing(headers) == b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n"
    assert framing([HOST]) == b"POST / HTTP/1.1\r\n\r\n"
