"""What answers say: OpenAI's objects, the same text every time, usage in every style."""

import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.simulated import MESSAGES, ask, chat_body, request_bytes, send
from tollway.simulator import (
    ABSURD_TOKENS,
    Simulator,
    estimate_prompt_tokens,
    expected_reasoning,
    expected_text,
    parse_scenario,
)
from tollway.simulator.prose import split_tokens

ASKED = {"stream_options": {"include_usage": True}}


async def test_a_batch_answer_is_an_openai_chat_completion(sim: Simulator) -> None:
    answer = (await ask(sim, "n=5")).json()
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert isinstance(answer["created"], int)
    assert answer["model"] == "sim?n=5"
    assert answer["system_fingerprint"] == "fp_simulator"
    message = {"role": "assistant", "content": expected_text(5), "refusal": None, "annotations": []}
    assert answer["choices"] == [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
    usage = answer["usage"]
    assert (usage["completion_tokens"], usage["total_tokens"]) == (5, usage["prompt_tokens"] + 5)
    assert (
        usage["prompt_tokens_details"]["cached_tokens"] == usage["completion_tokens_details"]["reasoning_tokens"] == 0
    )


async def test_a_stream_is_role_tokens_finish_and_done(sim: Simulator) -> None:
    reply = await ask(sim, "n=5", stream=True)
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.complete
    assert reply.payloads()[-1] == "[DONE]"
    objects = reply.chunk_objects()
    assert len(objects) == 7
    assert objects[0]["choices"][0]["delta"] == {"role": "assistant", "content": "", "refusal": None}
    assert objects[-1]["choices"] == [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]
    assert {(event["id"], event["object"], event["model"]) for event in objects} == {
        (objects[0]["id"], "chat.completion.chunk", "sim?n=5")
    }
    assert reply.text() == expected_text(5)
    assert reply.usages() == []


async def test_ids_are_unique_and_text_is_not(sim: Simulator) -> None:
    first, second = (await ask(sim)).json(), (await ask(sim)).json()
    assert first["id"] != second["id"]
    assert first["choices"] == second["choices"]


async def test_id_and_model_can_be_set(sim: Simulator) -> None:
    for stream in (False, True):
        reply = await ask(sim, "id=resp-7&model=gpt-4o%22-x", stream=stream)
        answer = reply.chunk_objects()[0] if stream else reply.json()
        assert (answer["id"], answer["model"]) == ("resp-7", 'gpt-4o"-x')


@pytest.mark.parametrize("stream", [False, True])
async def test_a_given_text_is_the_answer_and_each_word_a_token(sim: Simulator, stream: bool) -> None:
    text = ' "Zwölf\n Boxkämpfer" \\ 水 '
    reply = await ask(sim, "usage=final&text=" + quote(text), stream=stream)
    said = reply.text() if stream else reply.json()["choices"][0]["message"]["content"]
    usage = reply.usages()[0] if stream else reply.json()["usage"]
    assert said == text
    assert usage["completion_tokens"] == len(split_tokens(text)) == 4


@given(st.text(max_size=50))
def test_tokens_of_a_text_are_the_whole_text(text: str) -> None:
    assert "".join(split_tokens(text)) == text


@pytest.mark.parametrize("stream", [False, True])
async def test_reasoning_comes_before_the_content_and_is_billed(sim: Simulator, stream: bool) -> None:
    reply = await ask(sim, "n=3&reasoning=4&usage=final", stream=stream)
    if stream:
        members = [next(iter(event["choices"][0]["delta"]), None) for event in reply.chunk_objects()[1:8]]
        assert members == ["reasoning_content"] * 4 + ["content"] * 3
        assert reply.text(member="reasoning_content") == expected_reasoning(4)
        usage = reply.usages()[0]
    else:
        message = reply.json()["choices"][0]["message"]
        assert (message["reasoning_content"], message["content"]) == (expected_reasoning(4), expected_text(3))
        usage = reply.json()["usage"]
    assert usage["completion_tokens"] == 7
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 4


@pytest.mark.parametrize("text", ["", "&text=%22quoted%22%0A+%5C+x"])
async def test_a_tool_call_has_json_arguments(sim: Simulator, text: str) -> None:
    batch = (await ask(sim, "tool=get_weather&n=3" + text)).json()["choices"][0]
    call = batch["message"]["tool_calls"][0]
    assert (batch["finish_reason"], batch["message"]["content"]) == ("tool_calls", None)
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    said = json.loads(call["function"]["arguments"])["text"]
    assert said == ('"quoted"\n \\ x' if text else expected_text(3))

    reply = await ask(sim, "tool=get_weather&n=3" + text, stream=True)
    deltas = [event["choices"][0]["delta"] for event in reply.chunk_objects()]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert calls[0]["id"] == call["id"]
    assert calls[0]["function"]["name"] == "get_weather"
    assert json.loads("".join(part["function"]["arguments"] for part in calls)) == {"text": said}
    assert reply.finishes() == ["tool_calls"]


@pytest.mark.parametrize("stream", [False, True])
async def test_choices_differ_and_are_all_billed(sim: Simulator, stream: bool) -> None:
    reply = await ask(sim, "n=4&usage=final", stream=stream, n=3)
    expected = [expected_text(4, choice=choice) for choice in range(3)]
    assert len(set(expected)) == 3
    if stream:
        assert [reply.text(choice) for choice in range(3)] == expected
        assert reply.finishes() == ["stop"] * 3
        order = [event["choices"][0]["index"] for event in reply.chunk_objects()[3:9]]
        assert order == [0, 1, 2, 0, 1, 2]
        usage = reply.usages()[0]
    else:
        assert [choice["message"]["content"] for choice in reply.json()["choices"]] == expected
        usage = reply.json()["usage"]
    assert usage["completion_tokens"] == 12


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_token_limit_cuts_the_answer_and_says_length(sim: Simulator, field: str) -> None:
    answer = (await ask(sim, "n=50", **{field: 7})).json()
    assert answer["choices"][0]["message"]["content"] == expected_text(7)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 7


async def test_reasoning_is_cut_by_the_limit_first(sim: Simulator) -> None:
    answer = (await ask(sim, "n=50&reasoning=5", max_tokens=3)).json()
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 3


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "tool_calls", "error"])
async def test_the_finish_reason_can_be_chosen(sim: Simulator, finish: str) -> None:
    assert (await ask(sim, f"finish={finish}")).json()["choices"][0]["finish_reason"] == finish
    assert (await ask(sim, f"finish={finish}", stream=True)).finishes() == [finish]


async def test_without_a_role_chunk_the_first_token_carries_the_role(sim: Simulator) -> None:
    for spec in ("n=2&role_chunk=off", "n=2&role_chunk=off&tool=f", "n=2&reasoning=1&role_chunk=off"):
        deltas = [event["choices"][0]["delta"] for event in (await ask(sim, spec, stream=True)).chunk_objects()]
        assert deltas[0]["role"] == "assistant"
        assert len(deltas[0]) == 2
        assert all("role" not in delta for delta in deltas[1:])


# --- usage


async def usages(sim: Simulator, spec: str, **fields: Any) -> list[tuple[int, bool, Any]]:
    """(completion tokens, whether the event has choices, its finish reason) for each event with usage."""
    reply = await ask(sim, spec, stream=True, **fields)
    return [
        (
            event["usage"]["completion_tokens"],
            bool(event["choices"]),
            event["choices"][0]["finish_reason"] if event["choices"] else None,
        )
        for event in reply.chunk_objects()
        if event.get("usage") is not None
    ]


async def test_usage_chunk_comes_only_when_asked_for(sim: Simulator) -> None:
    assert await usages(sim, "n=3") == []
    assert await usages(sim, "n=3", **ASKED) == [(3, False, None)]


async def test_usage_null_everywhere_is_openai_to_the_letter(sim: Simulator) -> None:
    reply = await ask(sim, "n=3&usage=null_everywhere", stream=True, **ASKED)
    objects = reply.chunk_objects()
    assert all(event["usage"] is None for event in objects[:-1])
    assert objects[-1]["choices"] == []
    assert objects[-1]["usage"]["completion_tokens"] == 3
    assert all("usage" not in event for event in (await ask(sim, "usage=null_everywhere", stream=True)).chunk_objects())


async def test_usage_final_comes_unasked(sim: Simulator) -> None:
    assert await usages(sim, "n=3&usage=final") == [(3, False, None)]


async def test_usage_in_finish_stands_beside_the_finish_reason(sim: Simulator) -> None:
    assert await usages(sim, "n=3&usage=in_finish", n=2) == [(6, True, "stop")]


async def test_usage_cumulative_counts_up_in_every_event(sim: Simulator) -> None:
    found = await usages(sim, "n=2&reasoning=1&usage=cumulative")
    assert [count for count, _, _ in found] == [0, 1, 2, 3, 3]
    assert found[-1] == (3, True, "stop")


async def test_usage_missing_is_nowhere(sim: Simulator) -> None:
    assert await usages(sim, "usage=missing", **ASKED) == []
    assert "usage" not in (await ask(sim, "usage=missing")).json()


async def test_usage_absurd_is_more_than_any_model_can_say(sim: Simulator) -> None:
    assert await usages(sim, "usage=absurd") == [(ABSURD_TOKENS, False, None)]
    assert (await ask(sim, "usage=absurd")).json()["usage"]["completion_tokens"] == ABSURD_TOKENS


async def test_usage_numbers_can_be_set(sim: Simulator) -> None:
    usage = (await ask(sim, "prompt_tokens=1000&completion_tokens=-2&cached=4000")).json()["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (1000, -2, 998)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4000
    assert sim.log[-1].prompt_tokens == 1000
    assert sim.log[-1].completion_tokens == -2


async def test_usage_can_be_any_json(sim: Simulator) -> None:
    raw = '{"prompt_tokens": "many", "completion_tokens": 1.5}'
    spec = "usage=final&usage_raw=" + quote(raw)
    assert (await ask(sim, spec)).json()["usage"] == json.loads(raw)
    assert (await ask(sim, spec, stream=True)).usages() == [json.loads(raw)]


async def test_prompt_tokens_follow_the_documented_formula(sim: Simulator) -> None:
    messages = [
        {"role": "system", "content": "Zwölf"},  # 4 + ceil(6 / 4)
        {"role": "assistant", "content": None},  # 4
        {"role": "user", "content": [{"type": "text", "text": "12345"}, {"type": "image_url", "image_url": {}}]},
    ]
    expected = 3 + (4 + 2) + 4 + (4 + 2 + 85)
    assert estimate_prompt_tokens(messages) == expected
    body = chat_body("sim", messages=messages)
    assert (await send(sim, request_bytes(body))).json()["usage"]["prompt_tokens"] == expected


# --- where a scenario stands


def knob(text: str) -> list[dict[str, str]]:
    return [*MESSAGES, {"role": "user", "content": text}]


async def said(sim: Simulator, spec: str = "", **fields: Any) -> int:
    return (await ask(sim, spec, **fields)).json()["usage"]["completion_tokens"]


async def test_each_place_changes_only_the_keys_it_names_and_the_later_wins() -> None:
    async with await Simulator.start(scenario=parse_scenario("n=1&cached=9")) as sim:
        assert await said(sim) == 1
        assert await said(sim, "n=2") == 2
        assert await said(sim, "n=2", messages=knob("x simulate: n=3 y")) == 3
        assert await said(sim, "n=2", messages=knob("simulate:n=3"), headers={"X-Simulate": "n=4"}) == 4
        answer = (await ask(sim, "n=2")).json()
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 9


async def test_only_the_last_user_message_has_knobs(sim: Simulator) -> None:
    messages = [*knob("simulate: n=3"), {"role": "user", "content": "and now?"}, {"role": "assistant", "content": "a"}]
    assert await said(sim, "n=2", messages=messages) == 2
    assert await said(sim, "n=2", messages=[{"role": "system", "content": "simulate: n=3"}]) == 2


async def test_knobs_are_read_from_text_parts(sim: Simulator) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "simulate: n=3"}]}]
    assert await said(sim, messages=parts) == 3


async def test_prose_after_the_marker_is_only_prose(sim: Simulator) -> None:
    assert await said(sim, "n=2", messages=knob("Please simulate: a river, x=1")) == 2


async def test_knobs_can_be_turned_off() -> None:
    async with await Simulator.start(prompt_knobs=False) as sim:
        assert await said(sim, "n=2", messages=knob("simulate: n=3")) == 2


async def test_the_simulators_own_scenario_can_be_changed(sim: Simulator) -> None:
    assert await said(sim) == 16
    sim.scenario = parse_scenario("n=2")
    assert await said(sim) == 2
    assert sim.scenario.tokens == 2


async def test_many_scenarios_and_shapes_are_served_right() -> None:
    async with await Simulator.start() as sim:
        for limit in range(1, 20):
            assert await said(sim, max_tokens=limit) == min(limit, 16)
        answer = (await ask(sim, "n=20000")).json()
        assert answer["choices"][0]["message"]["content"] == expected_text(20000)
