"""What goes wrong, as the openai package for Python raises it: the right class, never a silent end, and tried again
only where that can help."""

import contextlib
import time

import openai
import pytest
import pytest_asyncio

from helpers.official import WAYS, official, text
from helpers.running import chat, running
from helpers.settled import settled
from tollway.client.siwx import sign_in_header
from tollway.simulator import expected_text

pytestmark = [pytest.mark.acceptance, pytest.mark.asyncio(loop_scope="module")]

way = pytest.mark.parametrize("way", WAYS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router():
    async with running(
        {"sim": "tokens=5"}, model_extra='timeouts = { first_byte = "200ms", batch = "200ms" }'
    ) as router:
        yield router


@pytest.fixture(autouse=True)
def fresh_log(router):
    router.simulator.clear()


@contextlib.asynccontextmanager
async def counting(router, key, answered=lambda: None):
    """A client that tries as often as it does by itself, and the list of the answers to its requests; `answered` is
    called at each."""
    answers = []

    async def note(response):
        answers.append(response)
        answered()

    http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [note]})
    async with official("async", f"{router.url}/v1", api_key=key, http_client=http) as client:
        yield client, answers


REFUSED = {
    "temperature": (chat(temperature=3), openai.BadRequestError, 400, "invalid_request", "temperature"),
    "messages": (chat() | {"messages": []}, openai.BadRequestError, 400, "invalid_request", "messages"),
    "model": (chat() | {"model": "sim/modle"}, openai.NotFoundError, 404, "model_not_found", "model"),
    "feature": (chat(web_search_options={}), openai.BadRequestError, 400, "unpriced_feature", None),
    "provider's own refusal": (
        chat("simulate: status=400,code=context_length_exceeded"),
        openai.BadRequestError,
        400,
        "context_length_exceeded",
        None,
    ),
}


@way
@pytest.mark.parametrize("what", REFUSED)
async def test_a_request_that_is_wrong_raises_the_class_for_it_and_is_not_tried_again(router, what, way):
    body, kind, status, code, param = REFUSED[what]
    wallet = await router.wallet("1.00")
    with pytest.raises(kind) as raised:
        async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
            await client.complete(**body)
    assert type(raised.value) is kind
    assert (raised.value.status_code, raised.value.code) == (status, code)
    if param is not None:
        assert raised.value.param == param
    assert raised.value.response.headers["x-should-retry"] == "false"
    assert raised.value.request_id
    assert len(router.simulator.log) <= 1
    assert (await router.balance(wallet)).available == 10**9


@way
async def test_a_key_that_is_no_sign_in_raises_an_authentication_error(router, way):
    async with official(way, f"{router.url}/v1", api_key="sk-none") as client:
        with pytest.raises(openai.AuthenticationError) as raised:
            await client.complete(**chat())
    assert raised.value.code == "invalid_sign_in"
    assert raised.value.response.headers["www-authenticate"].startswith("Sign-In-With-X")


async def test_an_expired_sign_in_raises_an_authentication_error_that_says_so(router):
    wallet = await router.wallet("1.00")
    an_hour_ago = time.time_ns() // 1_000_000 - 3_600_000
    key = sign_in_header(wallet, router.url, 600, an_hour_ago)
    async with counting(router, key) as (client, answers):
        with pytest.raises(openai.AuthenticationError) as raised:
            await client.complete(**chat())
    assert raised.value.code == "expired_sign_in"
    assert len(answers) == 1


@way
@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_a_wallet_without_money_raises_a_402_before_anything_is_sent(router, way, stream):
    wallet = await router.wallet()
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        with pytest.raises(openai.APIStatusError) as raised:
            await (client.stream if stream else client.complete)(**chat())
    assert (raised.value.status_code, raised.value.code) == (402, "insufficient_balance")
    assert router.simulator.log == ()


async def test_an_account_that_is_not_let_in_raises_permission_denied():
    async with running(config='[auth]\naccounts = ["eip155:0x1111111111111111111111111111111111111111"]\n') as router:
        key = router.sign_in(await router.wallet())
        async with official("async", f"{router.url}/v1", api_key=key) as client:
            with pytest.raises(openai.PermissionDeniedError) as raised:
                await client.complete(**chat())
    assert raised.value.code == "account_not_allowed"


async def test_another_openai_endpoint_raises_not_found_and_says_what_is_served(router):
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key="any") as client:
        with pytest.raises(openai.NotFoundError) as raised:
            await client.embeddings.create(model="sim/model", input="hello")
    assert raised.value.code == "unsupported_endpoint"
    assert "/v1/chat/completions" in raised.value.message


FAILED = {
    "status=500": (502, "provider_error", 2),  # the same provider once more: upstream/attempts.py's table
    "status=503": (503, "no_provider_available", 1),
    "status=401": (502, "provider_error", 1),
    "fault=reset": (502, "provider_error", 1),
    "fault=silence": (504, "provider_timeout", 1),
}


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
@pytest.mark.parametrize("scenario", FAILED)
async def test_a_failure_that_the_router_has_dealt_with_is_not_multiplied_by_the_clients_retries(
    router, scenario, stream
):
    status, code, attempts = FAILED[scenario]
    wallet = await router.wallet("1.00")
    async with counting(router, router.sign_in(wallet)) as (client, answers):
        with pytest.raises(openai.InternalServerError) as raised:
            await (client.stream if stream else client.complete)(**chat(f"simulate: {scenario}"))
    assert (raised.value.status_code, raised.value.code) == (status, code)
    assert [answer.status_code for answer in answers] == [status]
    call = await settled(router, wallet)
    assert call["kinds"] == {"hold", "void"}
    stale = [attempt for attempt in call["attempts"] if attempt["outcome"] == "stale_connection"]  # an earlier test's
    assert len(router.simulator.log) - len(stale) == attempts


async def test_a_refusal_that_says_try_again_is_tried_again_by_the_client(router):
    wallet = await router.wallet("1.00")
    pipeline = router.router.services.pipeline
    pipeline.draining = True

    def drained():
        pipeline.draining = False

    async with counting(router, router.sign_in(wallet), drained) as (client, answers):
        answer = await client.complete(**chat())
    assert [response.status_code for response in answers] == [503, 200]
    assert answer.choices[0].message.content == expected_text(5)


@pytest.mark.parametrize(("rate", "tries"), [("1/d", 1), ("1/1s", 2)])
async def test_a_limit_is_waited_for_by_the_client_when_it_is_over_soon_and_raised_when_it_is_not(rate, tries):
    async with running({"sim": "tokens=5"}, config=f'[limits]\nrequests = "{rate}"\n') as router:
        async with counting(router, router.sign_in(await router.wallet("1.00"))) as (client, answers):
            await client.complete(**chat())
            answers.clear()
            with contextlib.suppress(openai.RateLimitError):
                await client.complete(**chat())
        assert len(answers) == tries, [answer.headers for answer in answers]
        assert answers[0].headers["x-should-retry"] == ("true" if tries > 1 else "false")
        assert answers[-1].status_code == (200 if tries > 1 else 429)


CUT = ["cut", "reset", "end", "truncated", "damaged", "error"]


@way
@pytest.mark.parametrize("fault", CUT)
async def test_a_stream_that_breaks_raises_an_error_and_never_ends_as_if_it_were_whole(router, way, fault):
    wallet = await router.wallet("1.00")
    async with official(way, f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        with pytest.raises(openai.APIError) as raised:
            await client.stream(**chat(f"simulate: tokens=9,fault={fault}@4"))
    assert raised.value.code == "provider_error"
    assert (await settled(router, wallet))["charged"] == 0


@pytest.mark.parametrize("fault", CUT)
async def test_what_came_before_a_stream_broke_has_been_read(router, fault):
    wallet = await router.wallet("1.00")
    chunks = []
    async with openai.AsyncOpenAI(base_url=f"{router.url}/v1", api_key=router.sign_in(wallet)) as client:
        router.simulator.step(fault, 3)
        body = chat(f"simulate: tokens=9,lockstep={fault},fault={fault}@4", stream=True)
        answer = await client.chat.completions.create(**body)
        with pytest.raises(openai.APIError) as raised:
            async for chunk in answer:
                chunks.append(chunk)
                if len(chunks) == 3:
                    router.simulator.free(fault)
    assert type(raised.value) is openai.APIError
    assert "not whole" in raised.value.message
    assert text(chunks) in (expected_text(2), expected_text(3))  # the token that came with the fault may go with it
    assert not any(chunk.choices[0].finish_reason for chunk in chunks)


async def test_a_batch_answer_that_breaks_is_an_error_of_its_own(router):
    wallet = await router.wallet("1.00")
    async with counting(router, router.sign_in(wallet)) as (client, answers):
        with pytest.raises(openai.InternalServerError) as raised:
            await client.complete(**chat("simulate: fault=cut"))
    assert raised.value.code == "provider_error"
    assert len(answers) == 1
    assert (await router.balance(wallet)).available == 10**9
