"""What the suite compares with is right by itself: each thing that can be wrong with a call in the books is found."""

import json
from typing import Any

import pytest

from chaos.books import Line
from chaos.calls import KINDS, Seen, ask
from chaos.tally import Found, compare, price
from tollway.simulator.log import Attempt

PROMPT, COMPLETION = 20, 30
EXACT = price("b", PROMPT, COMPLETION)


def seen(kind: str = "stream", **fields: Any) -> Seen:
    return Seen(ask("t-1", KINDS[kind], "tokens=30", 0), status=200, **fields)


def attempt(ended: str = "complete", tag: str = "t-1", model: str = "sim-b") -> Attempt:
    body = json.dumps({"messages": [{"role": "user", "content": f"{tag} simulate: tokens=30"}]}).encode()
    return Attempt(
        sequence=1,
        at=0.0,
        path="/v1/chat/completions",
        model=model,
        stream=True,
        headers=(),
        body=body,
        status=200,
        events=COMPLETION,
        prompt_tokens=PROMPT,
        completion_tokens=COMPLETION,
        ended=ended,
        client_closed=False,
    )


def post(amount: int, tag: str = "t-1", id: str = "call-1") -> Line:
    return Line(seq=1, id=id, kind="post", account="eip155:0x", amount=amount, cost=0, tag=tag, record={})


def differences(call: Seen, attempts: list[Attempt], posts: list[Line]) -> str:
    found = Found()
    compare([call], attempts, posts, found)
    return "\n".join(found.differences)


def test_a_price_is_rounded_up_once() -> None:
    assert price("a", 1, 0) == 1069  # 1037.5 nano-USD and 3 %: 1068.625
    assert price("a", 3, 0) == 3206  # 3205.875
    assert price("b", 1000, 1000) == 939_875 + 11_690_500


@pytest.mark.parametrize(
    ("call", "attempts", "posts"),
    [
        (seen(whole=True, charged=EXACT), [attempt()], [post(EXACT)]),
        (seen(whole=True), [attempt("close", model="sim-a"), attempt()], [post(EXACT)]),
        (seen(), [attempt()], [post(EXACT)]),
        (seen(), [attempt()], []),
        (seen(), [attempt("client_closed")], []),
        (seen("cut", error="provider_failed"), [attempt("cut")], [post(0)]),
        (seen("finish_error", whole=True), [attempt()], [post(0)]),
        (seen(error="insufficient_balance"), [], []),
        (seen("uncounted", whole=True, text_bytes=120), [attempt()], [post(price("b", 10, 30))]),
        (seen("left", left=True), [], [post(price("a", 9, 0))]),
    ],
)
def test_a_call_that_was_booked_as_it_went_is_no_difference(
    call: Seen, attempts: list[Attempt], posts: list[Line]
) -> None:
    assert differences(call, attempts, posts) == ""


@pytest.mark.parametrize(
    ("call", "attempts", "posts", "said"),
    [
        (seen(whole=True), [attempt()], [], "a whole answer, and no post"),
        (seen(whole=True), [attempt()], [post(EXACT), post(EXACT)], "posted 2 times"),
        (seen(whole=True), [attempt()], [post(EXACT + 1)], "the logs say"),
        (seen(whole=True), [attempt()], [post(EXACT - 1)], "the logs say"),
        (seen(whole=True), [attempt(model="sim-a")], [post(EXACT)], "the logs say"),
        (seen(), [attempt()], [post(EXACT // 2)], "the logs say"),
        (seen(), [attempt("cut")], [post(1)], "the logs say"),
        (seen(whole=True, charged=EXACT - 1), [attempt()], [post(EXACT)], "its client was told"),
        (seen(error="ledger_unavailable"), [attempt()], [post(1)], "ended with ledger_unavailable and was charged"),
        (seen(error="insufficient_balance"), [attempt()], [], "refused, and sent to a provider"),
        (seen("finish_error", whole=True), [attempt()], [post(1)], "the logs say"),
        (seen(), [], [post(EXACT)], "no provider was asked"),
        (seen("left", left=True), [], [post(EXACT)], "no provider was asked"),
        (seen(whole=True, request_id="call-2"), [attempt()], [post(EXACT)], "in the books"),
        (seen("uncounted", whole=True, text_bytes=120), [attempt()], [post(price("b", 10, 60))], "the logs say"),
        (seen("uncounted", whole=True, text_bytes=120), [attempt()], [post(price("b", 200, 30))], "the logs say"),
        (seen(), [attempt(), attempt(tag="t-2")], [], "t-2: sent to a provider"),
        (seen(), [attempt()], [post(0, tag="t-2")], "t-2: posted, and no client"),
    ],
)
def test_what_is_wrong_is_found(call: Seen, attempts: list[Attempt], posts: list[Line], said: str) -> None:
    found = differences(call, attempts, posts)
    assert found
    assert said in found
