"""Talk to a router from Python: sign in with a wallet, list models, chat, see the balance. What the CLI uses.

Errors of the router come as RouterError with its own words; a router that can't be reached as RouterUnreachable.
"""

import time
from collections.abc import Iterator
from typing import Any

import httpx2
import msgspec

from tollway.client.errors import RouterError, RouterUnreachable
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import Wallet
from tollway.wire import json
from tollway.wire.sse import SseDecoder

LIFETIME_S = 3600
NONCE_LIFETIME_S = 120  # of what is signed for one request
KEYS_SCOPE = "urn:tollway:scope:keys"
RENEW_S = 60  # sign anew when the header has less than this left
ANSWER_SECONDS = 900.0
OUTDATED = ("expired_sign_in",)  # what a new signature of the same wallet mends; one that was revoked stays refused


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a streamed answer. The first one has nothing but the call's id; the last one the usage and what the
    router added."""

    request_id: str | None = None
    text: str = ""
    usage: dict[str, Any] | None = None
    tollway: dict[str, Any] | None = None


class RouterClient:
    """One router, and who asks it: a wallet, a header that was signed before, or a delegated key. `url` is the router's
    own (http://host:port); a context manager."""

    def __init__(
        self, url: str, wallet: Wallet | None = None, *, header: str | None = None, key: str | None = None
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/api/v1").removesuffix("/v1")
        self._wallet = wallet
        self._header = header
        self._key = key
        self._fresh = False  # the header was signed for the call that is under way
        self._expires = float("inf") if header is not None else 0.0
        self._http = httpx2.Client(base_url=self.url, timeout=httpx2.Timeout(ANSWER_SECONDS, connect=10.0))

    def __enter__(self) -> "RouterClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.close()

    def get(self, path: str, **params: str | int) -> Any:
        """A GET below /api/v1, signed in if there is a wallet."""
        return self._json("GET", path, params=params)

    def root(self, path: str) -> Any:
        """A GET of a path that has no prefix, to which nobody signs in."""
        return self._json("GET", path, prefix="")

    def delete(self, path: str) -> None:
        self._json("DELETE", path)

    def create_key(self, asked: dict[str, Any]) -> dict[str, Any]:
        """A delegated key by POST /keys, signed for with a fresh nonce. Its secret is `key`, and never shown again."""
        assert self._wallet is not None, "only a wallet gives out keys"
        nonce = self.get("/session/nonce")["nonce"]
        now_ms = time.time_ns() // 1_000_000
        header = sign_in_header(self._wallet, self.url, NONCE_LIFETIME_S, now_ms, nonce=nonce, scopes=(KEYS_SCOPE,))
        with RouterClient(self.url, header=header) as once:
            made: dict[str, Any] = once._json("POST", "/keys", body=asked)
        return made

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """A batch chat completion."""
        answer: dict[str, Any] = self._json("POST", "/chat/completions", body=body)
        return answer

    def stream(self, body: dict[str, Any]) -> Iterator[Delta]:
        """A streamed chat completion, usage included. Raises RouterError for an error frame: what came before it is
        not a whole answer."""
        body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        content = json.encode(body)
        while True:
            headers = {**self._auth(), "content-type": "application/json"}
            try:
                with self._http.stream("POST", "/api/v1/chat/completions", content=content, headers=headers) as answer:
                    if answer.status_code == 200:
                        yield from _deltas(answer)
                        return
                    refused = _error(answer.status_code, answer.read())
            except httpx2.TransportError as error:
                raise self._unreachable(error) from None
            if not self._signs_in_anew(refused):
                raise refused

    def _signs_in_anew(self, refused: RouterError) -> bool:
        """Whether another try with a new signature makes sense: this one was made earlier and is no longer taken. What
        is refused so has cost nothing."""
        if self._wallet is None or self._fresh or refused.code not in OUTDATED:
            return False
        self._expires = 0.0
        return True

    def _auth(self) -> dict[str, str]:
        self._fresh = False
        if self._wallet is not None and time.time() > self._expires - RENEW_S:
            now_ms = time.time_ns() // 1_000_000
            self._header = sign_in_header(self._wallet, self.url, LIFETIME_S, now_ms)
            self._expires = now_ms / 1000 + LIFETIME_S
            self._fresh = True
        if self._key is not None:
            return {"authorization": f"Bearer {self._key}"}
        return {} if self._header is None else {"sign-in-with-x": self._header}

    def _json(
        self,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        params: dict[str, str | int] | None = None,
        prefix: str = "/api/v1",
    ) -> Any:
        content = None if body is None else json.encode(body)
        while True:
            headers = {**self._auth(), **({} if body is None else {"content-type": "application/json"})}
            try:
                answer = self._http.request(method, f"{prefix}{path}", content=content, headers=headers, params=params)
            except httpx2.TransportError as error:
                raise self._unreachable(error) from None
            if answer.status_code < 300:
                return _decode(answer.status_code, answer.content) if answer.content else None
            refused = _error(answer.status_code, answer.content)
            if not self._signs_in_anew(refused):
                raise refused

    def _unreachable(self, error: Exception) -> RouterUnreachable:
        return RouterUnreachable(f"no answer from {self.url} ({error}): is the router running there?")


def _decode(status: int, content: bytes) -> Any:
    """JSON of an answer. Raises RouterError for anything else: whatever answered is no router."""
    try:
        return json.decode(content)
    except ValueError:
        raise RouterError(status, {"message": f"answered {status}, and not as a Tollway router does"}) from None


def _error(status: int, content: bytes) -> RouterError:
    answer = _decode(status, content)
    error = answer.get("error") if isinstance(answer, dict) else None
    return RouterError(status, error if isinstance(error, dict) else {})


def _deltas(answer: httpx2.Response) -> Iterator[Delta]:
    yield Delta(request_id=answer.headers.get("x-request-id"))
    decoder = SseDecoder()
    whole = False
    for data in answer.iter_raw():
        for event in decoder.feed(data):
            if event == b"[DONE]":
                whole = True
                continue
            chunk = _decode(answer.status_code, event)
            if "error" in chunk:
                raise RouterError(200, chunk["error"])
            choices = chunk.get("choices") or [{}]
            text = (choices[0].get("delta") or {}).get("content") or ""
            yield Delta(text=text, usage=chunk.get("usage"), tollway=chunk.get("tollway"))
    if not whole:
        raise RouterError(200, {"code": "cut", "message": "the connection ended before the answer did"})
