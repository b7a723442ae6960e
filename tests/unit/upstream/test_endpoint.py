"""A provider's address: what it may be, what is derived from it, and that its secrets don't show."""

import pytest

from tollway.upstream.endpoint import Endpoint


def endpoint(base_url: str = "https://api.example.com/v1", **more: object) -> Endpoint:
    return Endpoint(id="example", base_url=base_url, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1/chat/completions"),
        ("https://api.example.com/v1/", "https://api.example.com/v1/chat/completions"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/chat/completions"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1/chat/completions"),
        (
            "https://x.openai.azure.com/openai/deployments/d?api-version=2024-06-01",
            "https://x.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-06-01",
        ),
    ],
)
def test_the_path_goes_below_the_base_url_and_before_its_query(base_url: str, url: str) -> None:
    assert endpoint(base_url).url("/chat/completions") == url


@pytest.mark.parametrize(
    ("base_url", "said"),
    [
        ("api.example.com/v1", "https://"),
        ("ftp://api.example.com", "https://"),
        ("https://", "a host"),
        ("https:///v1", "a host"),
        ("https://s3cret@api.example.com", "API key"),
        ("https://user:s3cret@api.example.com", "API key"),
        ("https://api.example.com/v1#s3cret", "fragment"),
    ],
)
def test_a_base_url_that_could_not_be_asked_is_refused(base_url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        endpoint(base_url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "more", [{"api_key": "s3cret\n"}, {"api_key": "s3 cret "}, {"headers": (("x-a", "s3cret\n"),)}]
)
def test_a_key_or_header_that_could_not_be_sent_is_refused_without_showing_it(more: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="header") as caught:
        endpoint(**more)
    assert "s3" not in str(caught.value)


def test_the_key_is_sent_as_a_bearer_token_in_headers_made_once() -> None:
    provider = endpoint(api_key="s3cret-key", headers=(("x-org", "1"),))
    assert dict(provider.request_headers)["authorization"] == "Bearer s3cret-key"
    assert dict(provider.request_headers)["x-org"] == "1"
    assert provider.request_headers is provider.request_headers
    assert "authorization" not in dict(endpoint().request_headers)


def test_secrets_do_not_show_and_are_known_longest_first() -> None:
    provider = endpoint("https://api.example.com:8443/v1", api_key="s3cret-key", headers=(("api-key", "other-secret"),))
    assert "s3cret" not in repr(provider)
    assert "other-secret" not in repr(provider)
    assert provider.secrets == ("api.example.com:8443", "api.example.com", "other-secret", "s3cret-key")


def test_a_key_as_short_as_a_word_is_not_taken_for_a_secret() -> None:
    assert endpoint(api_key="none").secrets == ("api.example.com",)


@pytest.mark.parametrize(
    ("base_url", "query", "url"),
    [
        ("https://a.example/v1", (("api-version", "2024-10-21"),), "/v1/chat/completions?api-version=2024-10-21"),
        ("https://a.example/v1?a=1", (("b", "x/y&z"),), "/v1/chat/completions?a=1&b=x%2Fy%26z"),
        ("https://a.example", (("a", "1"), ("b", "2")), "/chat/completions?a=1&b=2"),
    ],
)
def test_every_request_has_the_query(base_url: str, query: tuple[tuple[str, str], ...], url: str) -> None:
    assert endpoint(base_url, query=query).url("/chat/completions") == f"https://a.example{url}"


def test_the_key_goes_alone_in_a_header_of_its_own_and_is_as_secret_there() -> None:
    provider = endpoint(api_key="s3cret-key", auth_header="api-key")
    headers = dict(provider.request_headers)
    assert (headers["api-key"], "authorization" in headers) == ("s3cret-key", False)
    assert "s3cret-key" in provider.secrets
    assert "s3cret" not in repr(provider)
    assert "api-key" not in dict(endpoint(auth_header="api-key").request_headers)


def test_a_key_that_its_header_could_not_carry_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="header") as caught:
        endpoint(api_key="s3cret\n", auth_header="api-key")
    assert "s3" not in str(caught.value)
