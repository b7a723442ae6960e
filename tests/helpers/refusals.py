"""What every refusal has in common: its shape, its headers, and that it cost nothing and hurt nothing."""

import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from openai.types.shared import ErrorObject

from helpers.running import Running, chat
from tollway.client.wallet import Wallet

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\Z")
TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    500: "server_error",
    502: "provider_error",
    504: "provider_error",
}
# Whether the same request, sent again, could go another way; of the others the client knows best.
SHOULD_RETRY = {401: "false", 402: "false", 403: "false", 408: None, 429: "true", 500: None, 502: "false", 504: "false"}


def refused(answer: httpx2.Response, status: int, code: str, *, param: str | None = None, says: str = "") -> Any:
    """Check an error answer whole, and return its error object."""
    assert (answer.status_code, _code(answer)) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/json"
    assert UUID7.match(answer.headers["x-request-id"])
    body = answer.json()
    assert list(body) == ["error"]
    error = body["error"]
    ErrorObject.model_validate(error, strict=True)
    assert list(error)[:4] == ["code", "message", "type", "param"]
    assert error["param"] == param
    assert says in error["message"], error["message"]
    if status != 503:  # said by the router as well as of its providers
        assert error["type"] == TYPES[status]
        assert answer.headers.get("x-should-retry") == SHOULD_RETRY.get(status, "false")
    challenge = answer.headers.get("www-authenticate", "")
    assert challenge.startswith('Sign-In-With-X domain="') == (status == 401)
    return error


def _code(answer: httpx2.Response) -> str | None:
    try:
        code: str | None = answer.json()["error"]["code"]
    except (ValueError, KeyError, TypeError):
        return None
    return code


@contextlib.asynccontextmanager
async def unharmed(router: Running, wallet: Wallet) -> AsyncIterator[None]:
    """Whatever is sent in here reaches no provider, moves nothing in the wallet's books, and leaves the router
    serving: the same wallet's next good call is answered."""
    before = await router.balance(wallet)
    newest = await router.ledger.statement(before.account, limit=1)
    seen = {name: len(simulator.log) for name, simulator in router.simulators.items()}
    yield
    assert {name: len(simulator.log) for name, simulator in router.simulators.items()} == seen
    assert await router.balance(wallet) == before
    assert before.debits_pending == 0
    assert await router.ledger.statement(before.account, limit=1) == newest
    good = await router.post(wallet, chat(), **await single_use(router, wallet))
    assert good.status_code == 200, good.text


async def single_use(router: Running, wallet: Wallet) -> dict[str, str]:
    """Headers of a sign-in with a fresh nonce: good for one call wherever nonces are optional or required."""
    nonce = (await router.get("/session/nonce"))["nonce"]
    return {"sign-in-with-x": router.sign_in(wallet, nonce=nonce)}
