"""Which headers go to a provider, and how long it asks to be left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway import __version__
from tollway.upstream.headers import RETRY_AFTER_MS_MAX, check_header, content_coding, json_headers, retry_after_ms

NOW_MS = 1_700_000_000_000  # Tue, 14 Nov 2023 22:13:20 GMT


def test_a_request_carries_these_headers_and_no_others() -> None:
    assert dict(json_headers((("authorization", "Bearer k"),), ())) == {
        "content-type": "application/json",
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": f"tollway/{__version__}",
        "authorization": "Bearer k",
    }


def test_without_a_key_there_is_no_authorization() -> None:
    assert "authorization" not in dict(json_headers((), ()))


def test_an_operators_header_replaces_ours_of_the_same_name() -> None:
    headers = json_headers((("authorization", "Bearer k"),), (("user-agent", "me"), ("x-org", "1")))
    assert [value for name, value in headers if name == "user-agent"] == ["me"]
    assert ("x-org", "1") in headers


@pytest.mark.parametrize(
    ("name", "value"),
    [("x-a", "1"), ("api-key", "abc"), ("x-title", "two words"), ("a", "tab\tinside"), ("x_y.z~1", "!~")],
)
def test_headers_that_may_be_set(name: str, value: str) -> None:
    check_header(name, value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("X-A", "1", "lower case"),
        ("", "1", "lower case"),
        ("x a", "1", "lower case"),
        ("x:", "1", "lower case"),
        ("x\n", "1", "lower case"),
        ("host", "a", "is set by the router alone"),
        ("accept-encoding", "gzip", "is set by the router alone"),
        ("content-length", "1", "is set by the router alone"),
        ("transfer-encoding", "chunked", "is set by the router alone"),
        ("x-a", "", "can't carry"),
        ("x-a", " s3cret", "can't carry"),
        ("x-a", "s3cret\r\nx-b: 1", "can't carry"),
        ("x-a", "s3cret\n", "can't carry"),
        ("x-a", "s3cret\x00", "can't carry"),
        ("x-a", "s3cret\xe9", "can't carry"),
    ],
)
def test_headers_that_may_not_be_set_are_refused_without_their_value(name: str, value: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        check_header(name, value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("headers", "wait_ms"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7_000),
        ({"retry-after": " 7 "}, 7_000),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "1.5"}, 1_500),
        ({"retry-after-ms": "250"}, 250),
        ({"retry-after-ms": "250", "retry-after": "7"}, 250),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7_000),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30_000),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:10 GMT"}, 0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT", "date": "Tue, 14 Nov 2023 22:13:45 GMT"}, 5_000),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT", "date": "yesterday"}, 30_000),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, RETRY_AFTER_MS_MAX),
        ({"retry-after": "999999999999999"}, RETRY_AFTER_MS_MAX),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "\x1d1"}, None),
        ({"retry-after-ms": "1\x85"}, None),
        ({"retry-after": "\t1 "}, 1_000),
        ({"retry-after": ""}, None),
        ({"retry-after": "Tue, 99 Nov 2023 22:13:50 GMT"}, None),
    ],
)
def test_how_long_a_provider_asks_to_be_left_alone(headers: dict[str, str], wait_ms: int | None) -> None:
    assert retry_after_ms(headers, NOW_MS) == wait_ms


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text()))
def test_no_header_crashes_it_and_no_wait_is_negative_or_endless(headers: dict[str, str]) -> None:
    wait_ms = retry_after_ms(headers, NOW_MS)
    assert wait_ms is None or 0 <= wait_ms <= RETRY_AFTER_MS_MAX


@pytest.mark.parametrize(
    ("headers", "coding"),
    [
        ({}, None),
        ({"content-encoding": ""}, None),
        ({"content-encoding": " Identity "}, None),
        ({"content-encoding": "GZIP"}, "gzip"),
        ({"content-encoding": "gzip, br"}, "something unknown"),
        ({"content-encoding": "sk-operator-1"}, "something unknown"),
    ],
)
def test_a_body_that_is_packed_is_known_by_its_header(headers: dict[str, str], coding: str | None) -> None:
    assert content_coding(headers) == coding
