"""Where a provider is and how to prove who asks: all that a dialect needs to address one.

This module knows nothing of models, prices or timeouts: those belong to a candidate.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

from tollway.domain.quirks import Quirk
from tollway.domain.seams import HttpRequest
from tollway.upstream.headers import Headers, check_header, json_headers

UserField = Literal["hash", "forward", "omit"]  # what `user` is: the call's pseudonym, the caller's own, nothing

CONNECT_S = 5.0  # for a name, a connection and TLS, where nobody configured it
_SECRET_LENGTH_MIN = 6  # a shorter "secret" (none, x, test) would redact ordinary words


@dataclass(frozen=True)
class Endpoint:
    """One provider. `auth_header` carries the key as it is; without one it is a bearer token. `headers` are further
    ones of the operator's, names in lower case; they may replace ours. `query` is written as it is meant.

    Raises ValueError, never with a secret in it, for a base URL or a header that could not be sent."""

    id: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    auth_header: str | None = None
    headers: Headers = field(default=(), repr=False)
    query: tuple[tuple[str, str], ...] = ()
    user: UserField = "hash"
    quirks: frozenset[Quirk] = frozenset()

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the base URL of provider {self.id} must start with https:// (or http://) and a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"the base URL of provider {self.id} must not carry a user or password: set its API key")
        if parts.fragment:
            raise ValueError(f"the base URL of provider {self.id} must not have a fragment (#)")
        for name, value in (*self.headers, *self._credentials):
            check_header(name, value)

    def url(self, path: str) -> str:
        """`path` below the base URL, whose query stays behind it, with `query` (Azure's `?api-version=`)."""
        base, _, written = self.base_url.partition("?")
        query = "&".join(part for part in (written, urlencode(self.query, quote_via=quote)) if part)
        return f"{base.rstrip('/')}{path}{query and '?'}{query}"

    @cached_property
    def request_headers(self) -> Headers:
        """Headers of a JSON request, with the key; made once, sent with every call."""
        return json_headers(self._credentials, self.headers)

    def get(self, path: str) -> HttpRequest:
        """What asks for `path` below the base URL, with the key."""
        headers = tuple((name, value) for name, value in self.request_headers if name != "content-type")
        return HttpRequest(method="GET", url=self.url(path), headers=headers, body=b"", connect_timeout=CONNECT_S)

    def post(self, url: str, body: bytes, connect_timeout: float = CONNECT_S) -> HttpRequest:
        """JSON to a `url` of this provider's, with the key."""
        return HttpRequest(
            method="POST", url=url, headers=self.request_headers, body=body, connect_timeout=connect_timeout
        )

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What must not be read out of anything this provider says: its key, its host, the operator's header values."""
        parts = urlsplit(self.base_url)
        found = {self.api_key or "", parts.netloc, parts.hostname or "", *(value for _, value in self.headers)}
        return tuple(sorted((s for s in found if len(s) >= _SECRET_LENGTH_MIN), key=len, reverse=True))

    @property
    def _credentials(self) -> Headers:
        """The key in its header; a bearer token (RFC 6750) unless another header is named."""
        if self.api_key is None:
            return ()
        if self.auth_header is None:
            return (("authorization", f"Bearer {self.api_key}"),)
        return ((self.auth_header, self.api_key),)
