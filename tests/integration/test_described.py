"""What /openapi.json promises holds for requests made from it, right and wrong ones: no 500, and no answer, in status,
media type or shape, that it doesn't describe."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from helpers.running import Running, chat, running
from tollway import __version__
from tollway.api.openapi import openapi
from tollway.api.operations import OPERATIONS
from tollway.intake.schema import FIELDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXAMPLES = 15  # a test: one second or two each
# The same requests on every run: what fails once fails again.
bounded = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
SCHEMA = schemathesis.openapi.from_dict(openapi(__version__))
WRONG, RIGHT = GenerationMode.NEGATIVE, GenerationMode.POSITIVE
# A path alone can't be made wrong: any text is some id.
CAN_BE_WRONG = [
    one for one in OPERATIONS if one.body or any(parameter["in"] == "query" for parameter in one.parameters)
]
REQUESTS = [(one, RIGHT) for one in OPERATIONS] + [(one, WRONG) for one in CAN_BE_WRONG]
# Fields of the request that choose who serves it or ask for what has no price: left in, no call would be served.
CHOOSING = {"models", "provider", "max_cost", "service_tier", "modalities", "speed"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def router() -> AsyncIterator[Running]:
    async with running({"sim": "tokens=3"}) as router:
        yield router


def examine(case: Case, url: str, headers: dict[str, str]) -> int:
    """Send a request and hold its answer against the description."""
    response = case.call(base_url=url, headers=headers, timeout=30)
    assert response.status_code != 500, response.text
    checks: list[Any] = [status_code_conformance, content_type_conformance]
    if "text/event-stream" not in str(response.headers.get("content-type")):
        checks.append(response_schema_conformance)
    case.validate_response(response, checks=checks)
    return response.status_code


@pytest.mark.parametrize(("operation", "mode"), REQUESTS, ids=[f"{one.name}-{mode.value}" for one, mode in REQUESTS])
async def test_every_answer_is_one_that_is_described(router: Running, operation: Any, mode: GenerationMode) -> None:
    described = SCHEMA[operation.path][operation.method]
    wallet = router.headers(await router.wallet("1.00"))
    statuses: set[int] = set()

    @bounded
    @given(case=described.as_strategy(generation_mode=mode), signed=st.booleans())
    def requests(case: Case, signed: bool) -> None:
        statuses.add(examine(case, router.url, wallet if signed else {}))

    await asyncio.to_thread(requests)
    assert (401 in statuses) == operation.signed


async def test_calls_that_are_served_are_answered_as_described(router: Running) -> None:
    described = SCHEMA["/api/v1/chat/completions"]["POST"]
    wallet = router.headers(await router.wallet("100.00"))
    statuses: set[int] = set()

    @bounded
    @given(case=described.as_strategy(), stream=st.booleans())
    def requests(case: Case, stream: bool) -> None:
        assert isinstance(case.body, dict)
        options = {name: value for name, value in case.body.items() if name in FIELDS.keys() - CHOOSING}
        case.body = {**options, **chat(stream=stream)}
        statuses.add(examine(case, router.url, wallet))

    await asyncio.to_thread(requests)
    assert 200 in statuses
