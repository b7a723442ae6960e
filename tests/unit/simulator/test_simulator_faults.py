"""Every fault as a client meets it, and what the log says of it."""

import asyncio
import json

import pytest

from helpers.simulated import Reply, ask, chat_body, read_chunk, read_head, request_bytes
from tollway.simulator import Attempt, Simulator, expected_text


def last(sim: Simulator) -> Attempt:
    return sim.log[-1]


def is_json(text: str | bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 422, 429, 500, 502, 503, 504, 529, 418])
async def test_a_status_is_an_error_in_openais_shape(sim: Simulator, status: int, stream: bool) -> None:
    reply = await ask(sim, f"status={status}", stream=stream)
    assert reply.status == status
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert "retry-after" not in reply.headers
    assert (last(sim).status, last(sim).ended, last(sim).prompt_tokens, last(sim).completion_tokens) == (
        status,
        "status",
        0,
        0,
    )


async def test_what_it_does_not_know_is_refused(sim: Simulator) -> None:
    refused = await ask(sim, "refuse=seed.developer", seed=1)
    assert (refused.status, refused.json()["error"]["param"], last(sim).ended) == (400, "seed", "refused")
    asked = [{"role": "user", "content": "a"}, {"role": "developer", "content": "b"}]
    refused = await ask(sim, "refuse=seed.developer", messages=asked)
    assert "messages[1].role" in refused.json()["error"]["message"]
    assert (await ask(sim, "refuse=seed.developer", n=1)).status == 200


async def test_retry_after_is_sent_as_it_stands(sim: Simulator) -> None:
    reply = await ask(sim, "status=429&retry_after=2&retry_after_ms=1500")
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("2", "1500")
    dated = await ask(sim, "status=429&retry_after=Wed%2C+21+Oct+2026+07:28:00+GMT")
    assert dated.headers["retry-after"] == "Wed, 21 Oct 2026 07:28:00 GMT"


async def test_context_length_exceeded_names_the_tokens(sim: Simulator) -> None:
    error = (await ask(sim, "status=400&code=context_length_exceeded&prompt_tokens=9000")).json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert "maximum context length is 8192 tokens" in error["message"]
    assert "9000" in error["message"]


async def test_content_filter_has_azures_body(sim: Simulator) -> None:
    error = (await ask(sim, "status=400&code=content_filter")).json()["error"]
    assert error["code"] == "content_filter"
    assert error["innererror"]["content_filter_result"]["violence"]["filtered"] is True


async def test_any_other_code_is_shown(sim: Simulator) -> None:
    assert (await ask(sim, "status=429&code=insufficient_quota")).json()["error"]["code"] == "insufficient_quota"


# --- before the head


@pytest.mark.parametrize("stream", [False, True])
async def test_reset_before_the_head(sim: Simulator, stream: bool) -> None:
    reply = await ask(sim, "fault=reset", stream=stream)
    assert (reply.reset, reply.status) == (True, None)
    assert (last(sim).ended, last(sim).status, last(sim).client_closed) == ("reset", None, False)


async def test_close_before_the_head(sim: Simulator) -> None:
    reply = await ask(sim, "fault=close")
    assert (reply.reset, reply.status, reply.body) == (False, None, b"")
    assert (last(sim).ended, last(sim).status) == ("close", None)


async def test_silence_lasts_until_the_client_leaves(sim: Simulator) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(chat_body("sim?fault=silence")))
    await sim.seen(1)
    writer.close()
    await sim.idle()
    assert (last(sim).ended, last(sim).status, last(sim).client_closed) == ("silence", None, True)


async def test_redirect_points_elsewhere_and_following_it_is_seen(sim: Simulator) -> None:
    reply = await ask(sim, "fault=redirect")
    assert (reply.status, reply.headers["location"]) == (307, "/v1/redirected")
    assert last(sim).ended == "redirect"


@pytest.mark.parametrize("stream", [False, True])
async def test_not_json_is_a_web_page_with_200(sim: Simulator, stream: bool) -> None:
    reply = await ask(sim, "fault=not_json", stream=stream)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/html")
    assert not is_json(reply.body)
    assert last(sim).ended == "not_json"


@pytest.mark.parametrize("stream", [False, True])
async def test_huge_headers_come_before_a_good_answer(sim: Simulator, stream: bool) -> None:
    reply = await ask(sim, "fault=huge_headers", stream=stream)
    assert len(reply.headers["x-padding"]) == 100_000
    assert reply.complete
    assert last(sim).ended == "huge_headers"


# --- in a stream: role, 5 tokens, finish, [DONE] are events 1 to 8


@pytest.mark.parametrize("events", [0, 1, 3, 7])
@pytest.mark.parametrize("fault", ["cut", "reset", "end", "truncated"])
async def test_a_stream_breaks_off_after_k_events(sim: Simulator, fault: str, events: int) -> None:
    reply = await ask(sim, f"n=5&fault={fault}@{events}", stream=True)
    assert reply.status == 200
    good = [payload for payload in reply.payloads() if is_json(payload)]
    assert len(good) == events
    assert "[DONE]" not in reply.payloads()
    assert reply.complete == (fault in ("end", "truncated"))
    assert reply.reset == (fault == "reset")
    assert reply.body.endswith(b"\n\n") == (fault != "truncated" and events > 0)
    record = last(sim)
    assert (record.ended, record.events, record.completion_tokens) == (fault, events, min(max(events - 1, 0), 5))
    assert record.prompt_tokens > 0


async def test_a_stalled_stream_stays_open_until_the_client_leaves(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(chat_body("sim?fault=stall@3", stream=True)))
    await read_head(reader)
    for _ in range(3):
        assert await read_chunk(reader)
    assert last(sim).ended == "stall"
    assert not last(sim).client_closed
    writer.close()
    await sim.idle()
    assert (last(sim).ended, last(sim).events, last(sim).client_closed) == ("stall", 3, True)


async def test_a_damaged_event_starts_like_json_and_the_rest_follows(sim: Simulator) -> None:
    payloads = (await ask(sim, "n=5&fault=damaged@3", stream=True)).payloads()
    assert len(payloads) == 8
    assert [is_json(payload) for payload in payloads[:-1]] == [True] * 3 + [False] + [True] * 3
    assert payloads[3].startswith("{")
    assert last(sim).ended == "damaged"
    assert (await ask(sim, "n=5&fault=damaged@7", stream=True)).payloads()[-1].startswith("{")


async def test_noise_is_an_event_more(sim: Simulator) -> None:
    reply = await ask(sim, "n=5&fault=noise@3", stream=True)
    assert len(reply.payloads()) == 9
    noise = reply.payloads()[3]
    assert not is_json(noise)
    assert not noise.startswith("{")
    assert last(sim).ended == "noise"
    assert last(sim).events == 9


@pytest.mark.parametrize(("fault", "events"), [("error", 0), ("error@0", 0), ("error@3", 3)])
async def test_an_error_event_ends_a_200_stream(sim: Simulator, fault: str, events: int) -> None:
    reply = await ask(sim, f"n=5&fault={fault}&code=boom", stream=True)
    assert reply.status == 200
    assert reply.complete
    objects = reply.chunk_objects()
    assert len(objects) == events + 1
    assert objects[-1]["error"]["code"] == "boom"
    assert "[DONE]" not in reply.payloads()
    assert last(sim).ended == "error"


async def test_a_bad_length_stream_ends_inside_a_chunk(sim: Simulator) -> None:
    reply = await ask(sim, "n=5&fault=bad_length", stream=True)
    assert not reply.complete
    assert reply.text() == expected_text(5)
    assert last(sim).ended == "bad_length"


@pytest.mark.parametrize("fault", ["end@2", "truncated@2", "error@2", "cut@2", "bad_length"])
async def test_faults_work_without_chunks(sim: Simulator, fault: str) -> None:
    reply = await ask(sim, f"n=5&chunked=off&fault={fault}", stream=True)
    assert reply.complete
    assert last(sim).ended == fault.partition("@")[0]


async def test_empty_has_no_token_and_no_finish_reason(sim: Simulator) -> None:
    reply = await ask(sim, "fault=empty&usage=final&tool=f&reasoning=3", stream=True)
    assert (reply.text(), reply.finishes()) == ("", [])
    assert reply.usages()[0]["completion_tokens"] == 0
    assert reply.payloads()[-1] == "[DONE]"
    answer = (await ask(sim, "fault=empty")).json()
    assert answer["choices"][0]["finish_reason"] is None
    assert answer["choices"][0]["message"]["content"] == ""
    assert answer["usage"]["completion_tokens"] == 0
    assert last(sim).ended == "empty"


async def test_unstreamed_answers_a_stream_request_with_a_batch_body(sim: Simulator) -> None:
    reply = await ask(sim, "fault=unstreamed", stream=True)
    assert reply.json()["object"] == "chat.completion"
    assert last(sim).ended == "unstreamed"


async def test_a_fault_whose_place_is_never_reached_does_not_happen(sim: Simulator) -> None:
    for fault in ("cut", "damaged", "reset", "error"):
        reply = await ask(sim, f"n=5&fault={fault}@8", stream=True)
        assert reply.payloads()[-1] == "[DONE]"
        assert last(sim).ended == "complete"
    for fault in ("cut", "end", "reset", "stall"):
        assert (await ask(sim, f"n=5&fault={fault}@100000")).json()["choices"]
        assert last(sim).ended == "complete"


async def test_faults_strike_odd_streams_too(sim: Simulator) -> None:
    reply = await ask(sim, "n=9&burst=4&crlf=on&comments=on&fault=cut@6", stream=True)
    assert len(reply.payloads()) == 6
    assert not reply.complete


# --- in a batch answer


@pytest.mark.parametrize("place", ["", "@40", "@0"])
@pytest.mark.parametrize("fault", ["cut", "reset"])
async def test_a_batch_body_breaks_off(sim: Simulator, fault: str, place: str) -> None:
    if fault == "reset" and not place:
        place = "@40"
    reply = await ask(sim, f"fault={fault}{place}")
    length = int(reply.headers["content-length"])
    assert len(reply.body) == {"": length // 2, "@40": 40, "@0": 0}[place]
    assert (reply.complete, reply.reset) == (False, fault == "reset")
    assert last(sim).ended == fault


async def test_a_stalled_batch_body_stays_open(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(chat_body("sim?fault=stall@10")))
    await read_head(reader)
    assert len(await reader.readexactly(10)) == 10
    writer.close()
    await sim.idle()
    assert (last(sim).ended, last(sim).client_closed) == ("stall", True)


@pytest.mark.parametrize("fault", ["truncated", "damaged", "end", "truncated@30"])
async def test_truncated_json_has_the_right_length(sim: Simulator, fault: str) -> None:
    reply = await ask(sim, f"fault={fault}")
    assert reply.complete
    assert reply.body.startswith(b"{")
    assert not is_json(reply.body)


async def test_a_bad_length_promises_more_than_it_sends(sim: Simulator) -> None:
    reply = await ask(sim, "fault=bad_length")
    assert int(reply.headers["content-length"]) == len(reply.body) + 100
    assert not reply.complete
    assert is_json(reply.body)


async def test_an_error_object_can_come_with_200(sim: Simulator) -> None:
    reply = await ask(sim, "fault=error")
    assert reply.status == 200
    assert reply.json()["error"]["type"] == "server_error"
    assert last(sim).completion_tokens == 0


async def test_noise_means_nothing_in_a_batch_answer(sim: Simulator) -> None:
    assert (await ask(sim, "fault=noise")).json()["choices"]
    assert last(sim).ended == "complete"


# --- now and then


async def statuses(sim: Simulator, spec: str, count: int) -> list[int | None]:
    replies: list[Reply] = [await ask(sim, spec) for _ in range(count)]
    return [reply.status for reply in replies]


async def test_fault_times_spares_every_later_attempt_of_the_model(sim: Simulator) -> None:
    assert await statuses(sim, "status=503&fault_times=2", 4) == [503, 503, 200, 200]
    assert await statuses(sim, "status=503&fault_times=2&n=1", 1) == [503], "another model name has its own count"
    sim.clear()
    assert await statuses(sim, "status=503&fault_times=2", 1) == [503]


async def test_fault_times_counts_faults_of_any_kind(sim: Simulator) -> None:
    endings = []
    for _ in range(2):
        await ask(sim, "fault=cut@2&fault_times=1", stream=True)
        endings.append(last(sim).ended)
    assert endings == ["cut", "complete"]


async def test_fault_rate_is_a_share_and_its_seed_repeats_it(sim: Simulator) -> None:
    first = await statuses(sim, "status=500&fault_rate=0.5&seed=7", 40)
    assert 8 <= first.count(500) <= 32
    sim.clear()
    assert await statuses(sim, "status=500&fault_rate=0.5&seed=7", 40) == first
    assert await statuses(sim, "status=500&fault_rate=0.5&seed=8", 40) != first
    assert set(await statuses(sim, "status=500&fault_rate=0", 5)) == {200}
