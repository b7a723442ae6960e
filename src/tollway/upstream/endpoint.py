"""Where a provider is and how to prove who asks: all that a dialect needs to address one.

This module knows nothing of models, prices or timeouts: those belong to a candidate.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal
from urllib.parse import urlsplit

from tollway.upstream.headers import Headers, check_header, json_headers

UserField = Literal["hash", "forward", "omit"]  # what `user` is: the call's pseudonym, the caller's own, nothing

_SECRET_LENGTH_MIN = 6  # a shorter "secret" (none, x, test) would redact ordinary words


@dataclass(frozen=True)
class Endpoint:
    """One provider. `headers` are further ones of the operator's, names in lower case; they may replace ours.

    Raises ValueError, never with a secret in it, for a base URL or a header that could not be sent."""

    id: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    headers: Headers = field(default=(), repr=False)  # Azure's key is one
    user: UserField = "hash"

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"the base URL of provider {self.id} must start with https:// (or http://) and a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"the base URL of provider {self.id} must not carry a user or password: set its API key")
        if parts.fragment:
            raise ValueError(f"the base URL of provider {self.id} must not have a fragment (#)")
        for name, value in self.headers:
            check_header(name, value)
        if self.api_key is not None:
            check_header("authorization", f"Bearer {self.api_key}")

    def url(self, path: str) -> str:
        """`path` below the base URL, whose query stays behind it (Azure's `?api-version=`)."""
        base, mark, query = self.base_url.partition("?")
        return f"{base.rstrip('/')}{path}{mark}{query}"

    @cached_property
    def chat_completions_url(self) -> str:
        return self.url("/chat/completions")

    @cached_property
    def bearer_headers(self) -> Headers:
        """Headers of a JSON request with the key as a bearer token (RFC 6750); made once, sent with every call."""
        return json_headers(None if self.api_key is None else f"Bearer {self.api_key}", self.headers)

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """What must not be read out of anything this provider says: its key, its host, the operator's header values."""
        parts = urlsplit(self.base_url)
        found = {self.api_key or "", parts.netloc, parts.hostname or "", *(value for _, value in self.headers)}
        return tuple(sorted((s for s in found if len(s) >= _SECRET_LENGTH_MIN), key=len, reverse=True))
