"""What a client sees of a stream, event by event, beside what its provider has sent by then."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from helpers.held_back import HeldBackPosts
from helpers.providers import EVENT_STREAM, USAGE, answering, chunk, completion, provider, sse
from helpers.raw_server import RawServer
from helpers.running import Running, chat, running
from helpers.settled import settled
from helpers.streaming import DONE, caught_up, content, finishes, payload, streaming
from tollway.ledger import operator
from tollway.simulator import expected_text

STREAM = chat(stream=True)
WITH_USAGE = chat(stream=True, stream_options={"include_usage": True})
ENDED = f"data: {DONE}"


# --- lock-step


async def test_each_event_reaches_the_client_before_the_provider_has_sent_the_next():
    async with running({"sim": "tokens=4&lockstep=k"}) as router:
        simulator = router.simulator
        async with streaming(router, await router.wallet("1.00"), STREAM) as stream:
            simulator.step("k")
            await simulator.sent("k", 1)
            for sent in (2, 3, 4, 5):
                simulator.step("k")
                if sent == 2:  # the role-only opening is held until a token comes
                    assert (await stream.data())["choices"][0]["delta"]["role"] == "assistant"
                await stream.data()
                assert content(stream.events) == expected_text(sent - 1)
                assert simulator.log[0].events == sent
            simulator.step("k", 2)  # the finish, and the usage: all that is needed
            assert finishes(await stream.rest()) == {0: "stop"}
            assert stream.events[-1] == ENDED
            assert simulator.log[0].events == 7  # its [DONE] is still to come
            simulator.free("k")


async def test_a_role_only_opening_is_held_until_a_token_so_that_the_next_provider_can_still_serve():
    async with running({"a": "fault=cut@1", "b": "tokens=3"}) as router:
        answer = await router.post(await router.wallet("1.00"), chat(stream=True, provider={"order": ["a", "b"]}))
        assert answer.status_code == 200
        events = answer.text.rstrip("\n").split("\n\n")
        roles = [event for event in map(payload, events[:-1]) if event["choices"][0]["delta"].get("role")]
        assert len(roles) == 1
        assert content(events) == expected_text(3)
        assert router.simulators["a"].log[0].events == 1


# --- the ending waits for the post


async def test_no_finish_reason_is_seen_before_the_post_is_booked(monkeypatch):
    async with running({"sim": "tokens=3"}) as router:
        posts = HeldBackPosts(router.ledger.apply)
        monkeypatch.setattr(router.ledger, "apply", posts.apply)
        async with streaming(router, await router.wallet("1.00"), chat(stream=True, n=2)) as stream:
            reading = asyncio.ensure_future(stream.rest())
            await posts.asked.wait()
            await caught_up(router)
            assert [content(stream.events, choice) for choice in (0, 1)] == [
                expected_text(3),
                expected_text(3, choice=1),
            ]
            assert finishes(stream.events) == {}
            posts.let_go.set()
            await reading
            assert finishes(stream.events) == {0: "stop", 1: "stop"}
            assert stream.events[-1] == ENDED


async def test_a_batch_answer_does_not_begin_before_the_post_is_booked(monkeypatch):
    async with running() as router:
        posts = HeldBackPosts(router.ledger.apply)
        monkeypatch.setattr(router.ledger, "apply", posts.apply)
        async with streaming(router, await router.wallet("1.00"), chat()) as stream:
            opening = asyncio.ensure_future(stream.opened())
            await posts.asked.wait()
            await caught_up(router)
            assert not opening.done()
            posts.let_go.set()
            assert (await opening).status == 200


async def test_when_the_finish_reason_is_seen_the_post_is_on_the_disk(tmp_path):
    books = tmp_path / "ledger.db"
    async with (
        running({"sim": "tokens=3"}, ledger=books) as router,
        streaming(router, await router.wallet("1.00"), STREAM) as stream,
    ):
        while not finishes(stream.events):
            await stream.event()
        report = operator.audit(books)
        assert report.clean
        assert (report.posts, report.pending) == (1, 0)


async def test_finishes_that_come_at_different_times_are_withheld_while_other_choices_go_on(monkeypatch):
    events = [
        *(chunk(choice, role="assistant", content="") for choice in range(3)),
        *(chunk(choice, content=f"{choice}a") for choice in range(3)),
        chunk(1, finish="stop"),
        *(chunk(choice, content=f"{choice}b") for choice in (0, 2)),
        chunk(2, finish="length"),
        chunk(0, content="0c"),
        chunk(0, finish="stop"),
        {**chunk(), "choices": [], "usage": USAGE},
    ]
    async with (
        RawServer(answering(sse(*events, DONE), type=EVENT_STREAM)) as raw,
        running(config=provider("raw", raw.url)) as router,
    ):
        posts = HeldBackPosts(router.ledger.apply)
        monkeypatch.setattr(router.ledger, "apply", posts.apply)
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, chat(stream=True, n=3, model="raw/model")) as stream:
            reading = asyncio.ensure_future(stream.rest())
            await posts.asked.wait()
            await caught_up(router)
            assert [content(stream.events, choice) for choice in range(3)] == ["0a0b0c", "1a", "2a2b"]
            assert finishes(stream.events) == {}
            posts.let_go.set()
            assert finishes(await reading) == {0: "stop", 1: "stop", 2: "length"}
        assert (await settled(router, wallet))["charged"] == 20 * 1_000 + 5 * 10_000


# --- usage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[Running]:
    """One router for all styles of usage: the prompt says which."""
    async with running({"sim": "tokens=3"}) as router:
        yield router


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("style", ["chunk", "null_everywhere", "final", "in_finish", "cumulative", "missing", "absurd"])
async def test_usage_is_shown_only_when_it_was_asked_for_and_then_in_one_chunk_before_done(shared, style):
    wallet = await shared.wallet("1.00")
    for asked in (False, True):
        options = {"stream_options": {"include_usage": True}} if asked else {}
        answer = await shared.post(wallet, chat(f"simulate:usage={style}", stream=True, **options))
        *chunks, last = map(payload, answer.text.rstrip("\n").split("\n\n"))
        assert last == DONE
        shown = [chunk for chunk in chunks if chunk.get("usage") is not None]
        bare = [chunk for chunk in chunks if not chunk["choices"]]
        assert shown == bare == (chunks[-1:] if asked else [])
    call = await settled(shared, wallet, answer.headers["x-request-id"])
    usage, tollway = chunks[-1]["usage"], chunks[-1]["tollway"]
    assert usage["prompt_tokens"] == call["usage"]["prompt"]
    assert usage["completion_tokens"] == call["usage"]["completion"]
    assert usage["cost"] == call["cost_usd"]
    assert chunks[-1]["id"] == chunks[0]["id"] == call["response_id"]
    assert tollway["request_id"] == call["id"]
    assert [(attempt["provider"], attempt["outcome"]) for attempt in tollway["attempts"]] == [("sim", "ok")]


@pytest.mark.parametrize("stream", [False, True], ids=["batch", "stream"])
async def test_what_a_provider_says_of_cost_and_tollway_is_overwritten(stream):
    theirs: dict[str, Any] = {"usage": {**USAGE, "cost": 99, "is_byok": True}, "tollway": {"balance_usd": "1000000"}}
    if stream:
        said = chunk(content="Hi") | {"tollway": theirs["tollway"]}
        raw_body = sse(said, chunk(finish="stop"), {**chunk(), "choices": [], **theirs}, DONE)
    else:
        raw_body = json.dumps(completion("Hi", **theirs)).encode()
    async with (
        RawServer(answering(raw_body, type=EVENT_STREAM if stream else "application/json")) as raw,
        running(config=provider("raw", raw.url)) as router,
    ):
        wallet = await router.wallet("1.00")
        body = (WITH_USAGE if stream else chat()) | {"model": "raw/model"}
        answer = await router.post(wallet, body)
        if stream:
            chunks = [payload(event) for event in answer.text.rstrip("\n").split("\n\n")[:-1]]
            assert ["tollway" in found for found in chunks] == [False, False, True]
        told = chunks[-1] if stream else answer.json()
        assert told["usage"] == {**USAGE, "cost": "0.00007"}
        assert told["tollway"]["balance_usd"] == "0.99993"


# --- silence

SOON = '[server]\nkeep_alive_comment = "40ms"\n'
COMMENT = ": keep-alive"


async def test_silence_before_the_first_token_commits_to_200_and_is_filled_with_comments():
    async with (
        running({"sim": "tokens=3&barrier=b"}, config=SOON) as router,
        streaming(router, await router.wallet("1.00"), STREAM) as stream,
    ):
        assert await stream.event() == COMMENT
        assert (await stream.opened()).status == 200
        assert await stream.event() == COMMENT
        router.simulator.release("b")
        answer = [event for event in await stream.rest() if event != COMMENT]
        assert content(answer) == expected_text(3)
        assert answer[-1] == ENDED


async def test_silence_in_mid_stream_is_filled_with_comments():
    async with (
        running({"sim": "tokens=3&lockstep=k"}, config=SOON) as router,
        streaming(router, await router.wallet("1.00"), STREAM) as stream,
    ):
        router.simulator.step("k", 3)
        while COMMENT not in stream.events or len(stream.events) - stream.events.count(COMMENT) < 3:
            await stream.event()
        router.simulator.free("k")
        await stream.rest()
        answer = [event for event in stream.events if event != COMMENT]
        assert content(answer) == expected_text(3)
        assert answer[-1] == ENDED


async def test_after_the_commitment_failover_goes_on():
    async with running({"a": "barrier=b&status=503", "b": "tokens=3"}, config=SOON) as router:
        body = chat(stream=True, provider={"order": ["a", "b"]})
        async with streaming(router, await router.wallet("1.00"), body) as stream:
            assert await stream.event() == COMMENT
            router.simulators["a"].release("b")
            answer = [event for event in await stream.rest() if event != COMMENT]
            assert content(answer) == expected_text(3)
            assert answer[-1] == ENDED


async def test_after_the_commitment_a_final_failure_is_an_error_frame_and_no_done():
    async with running({"sim": "barrier=b&status=503"}, config=SOON) as router:
        wallet = await router.wallet("1.00")
        async with streaming(router, wallet, STREAM) as stream:
            assert await stream.event() == COMMENT
            router.simulator.release("b")
            answer = [event for event in await stream.rest() if event != COMMENT]
            (frame,) = map(payload, answer)
            assert frame["error"]["code"] == "no_provider_available"
            assert "choices" not in frame
            assert (await settled(router, wallet, await stream.request_id()))["charged"] == 0
