"""CORS through HTTP: what scripts of a web page may send, and what they may read of the answers."""

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from helpers.refusals import UUID7, refused
from helpers.running import Running, chat, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = "https://wallet.example"
LISTED = f'[server]\ncors_origins = ["{PAGE}", "http://localhost:5173"]\nmax_header = "4KiB"\n'
ANY = '[server]\ncors_origins = ["*"]\n'
PATHS = pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/api/v1/models/sim/model", "/v1/session", "/healthz", "/docs", "/nowhere"]
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router() -> AsyncIterator[Running]:
    async with running({"sim": "tokens=5"}, config=LISTED) as router:
        yield router


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_router() -> AsyncIterator[Running]:
    async with running({"sim": "tokens=5"}, config=ANY) as router:
        yield router


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def closed_router() -> AsyncIterator[Running]:
    async with running({"sim": "tokens=5"}) as router:
        yield router


async def preflight(router: Running, path: str, origin: str = PAGE) -> httpx2.Response:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,sign-in-with-x,x-stainless-lang",
    }
    return await router.http.request("OPTIONS", path, headers=headers)


def cors_headers(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def words(value: str) -> set[str]:
    return set(value.split(", "))


def readable(answer: httpx2.Response, origin: str) -> None:
    """A browser shows this answer, and the headers a wallet needs, to scripts of `origin`."""
    assert answer.headers["access-control-allow-origin"] == origin
    assert "access-control-allow-credentials" not in answer.headers
    exposed = words(answer.headers["access-control-expose-headers"])
    assert exposed >= {
        "x-request-id",
        "x-tollway-provider",
        "x-tollway-cost-usd",
        "retry-after",
        "retry-after-ms",
        "payment-required",
        "payment-response",
        "www-authenticate",
    }


# --- preflights


@PATHS
async def test_a_preflight_is_answered_on_every_path(router: Running, path: str) -> None:
    answer = await preflight(router, path)
    assert (answer.status_code, answer.content) == (204, b"")
    assert UUID7.match(answer.headers["x-request-id"])
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["vary"] == "origin"
    assert words(answer.headers["access-control-allow-methods"]) == {"GET", "HEAD", "POST", "DELETE"}
    assert answer.headers["access-control-max-age"] == "7200"
    assert "content-length" not in answer.headers


async def test_a_page_may_send_what_wallets_and_sdks_send(router: Running) -> None:
    allowed = words((await preflight(router, "/v1/chat/completions")).headers["access-control-allow-headers"])
    named = {"sign-in-with-x", "authorization", "content-type", "idempotency-key", "payment-signature"}
    assert allowed >= named | {"*"}


async def test_each_listed_origin_is_answered_with_its_own_name(router: Running) -> None:
    answer = await preflight(router, "/v1/models", "http://localhost:5173")
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://wallet.example", f"{PAGE}:8443", f"{PAGE}.evil.example", "null", "*"]
)
async def test_an_origin_that_is_not_listed_is_served_as_if_there_were_no_cors(router: Running, origin: str) -> None:
    refused(await preflight(router, "/v1/models", origin), 405, "method_not_allowed")
    answer = await router.http.get("/v1/models", headers={"origin": origin})
    assert (answer.status_code, cors_headers(answer)) == (200, {})
    assert answer.headers["vary"] == "origin"


async def test_options_that_is_no_preflight_is_a_method_like_any_other(router: Running) -> None:
    answer = await router.http.request("OPTIONS", "/v1/models", headers={"origin": PAGE})
    refused(answer, 405, "method_not_allowed", says="use GET, HEAD.")
    readable(answer, PAGE)
    bare = await router.http.request("OPTIONS", "/v1/models", headers={"access-control-request-method": "GET"})
    refused(bare, 405, "method_not_allowed")


# --- answers


async def test_a_batch_answer_is_readable(router: Running) -> None:
    answer = await router.post(await router.wallet("1.00"), chat(), origin=PAGE)
    assert answer.status_code == 200
    readable(answer, PAGE)


async def test_a_stream_is_readable(router: Running) -> None:
    answer = await router.post(await router.wallet("1.00"), chat(stream=True), origin=PAGE)
    assert (answer.status_code, answer.text.endswith("data: [DONE]\n\n")) == (200, True)
    readable(answer, PAGE)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("POST", "/v1/chat/completions", 401, "missing_sign_in"),
        ("GET", "/v1/session/balance", 401, "missing_sign_in"),
        ("GET", "/v1/models/unknown", 404, "model_not_found"),
        ("GET", "/nowhere", 404, "unsupported_endpoint"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
    ],
)
async def test_an_error_is_readable(router: Running, method: str, path: str, status: int, code: str) -> None:
    answer = await router.http.request(method, path, headers={"origin": PAGE, "content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    readable(answer, PAGE)


async def test_an_error_about_balance_or_the_provider_is_readable(router: Running) -> None:
    broke = await router.post(await router.wallet("0.000001"), chat(), origin=PAGE)
    failed = await router.post(await router.wallet("1.00"), chat("simulate:status=500"), origin=PAGE)
    assert (broke.status_code, failed.status_code) == (402, 502)
    readable(broke, PAGE)
    readable(failed, PAGE)


async def test_an_answer_to_nobodys_page_tells_caches_that_it_depends_on_who_asks(router: Running) -> None:
    answer = await router.http.get("/v1/models")
    assert (answer.headers["vary"], cors_headers(answer)) == ("origin", {})


# --- any page


@pytest.mark.parametrize("origin", [PAGE, "null", "chrome-extension://abcdefgh"])
async def test_with_a_star_any_page_may_call_and_no_answer_depends_on_which(open_router: Running, origin: str) -> None:
    asked = await preflight(open_router, "/v1/chat/completions", origin)
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "*")
    answer = await open_router.post(await open_router.wallet("1.00"), chat(), origin=origin)
    readable(answer, "*")
    assert "vary" not in answer.headers
    assert cors_headers(await open_router.http.get("/v1/models")) == {}


# --- none


@PATHS
async def test_without_origins_there_is_no_cors(closed_router: Running, path: str) -> None:
    answer = await preflight(closed_router, path)
    assert answer.status_code in (404, 405)
    assert cors_headers(answer) == {}
    assert "vary" not in answer.headers
