"""The simulator as a server: limits, bad input, keep-alive, its log, official clients, and its documentation."""

import asyncio
import re
from pathlib import Path
from typing import get_args

import httpx2
import openai
import pytest

from helpers.simulated import (
    MESSAGES,
    ask,
    chat_body,
    control,
    read_chunk,
    read_head,
    read_reply,
    request_bytes,
    send,
)
from tollway.simulator import Scenario, Simulator, expected_text, parse_scenario, serve
from tollway.simulator.connection import BODY_BYTES_MAX, HEAD_BYTES_MAX
from tollway.simulator.control import HANDLERS
from tollway.simulator.grammar import ALIASES, KEYS, POSITIONED
from tollway.simulator.log import Exchange, Log
from tollway.simulator.scenario import FaultName, FinishReason, UsageStyle
from tollway.simulator.service import MODELS_COUNTED_MAX, RECIPES_MAX, Faults

DOCS = Path(__file__).parents[3] / "docs" / "simulator.md"


# --- bad input


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"not json", None),
        (b"[]", None),
        (b'{"messages":[{"role":"user"}]}', "model"),
        (b'{"model":"sim"}', "messages"),
        (b'{"model":"sim","messages":[]}', "messages"),
        (b'{"model":"sim","messages":"hi"}', "messages"),
        (b'{"model":"sim","messages":[{"role":"user"}],"n":0}', "n"),
        (b'{"model":"sim","messages":[{"role":"user"}],"n":129}', "n"),
        (b'{"model":"sim","messages":[{"role":"user"}],"max_tokens":0}', "max_tokens"),
        (b'{"model":"\xff","messages":[{"role":"user"}]}', None),
        (b'{"model":"sim","messages":[{"role":"user","content":' + b"[" * 5000, None),
    ],
)
async def test_a_wrong_body_is_a_400_that_names_the_field(sim: Simulator, body: bytes, param: str | None) -> None:
    reply = await send(sim, request_bytes(body))
    assert reply.status == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"
    assert reply.json()["error"]["param"] == param
    assert (sim.log[-1].ended, sim.log[-1].body) == ("refused", body)


@pytest.mark.parametrize("place", ["model", "header", "prompt"])
async def test_a_wrong_scenario_is_a_400_wherever_it_stands(sim: Simulator, place: str) -> None:
    if place == "model":
        reply = await ask(sim, "gpa=20ms")
    elif place == "header":
        reply = await ask(sim, headers={"x-simulate": "gpa=20ms"})
    else:
        reply = await ask(sim, messages=[{"role": "user", "content": "simulate: gpa=20ms"}])
    assert reply.status == 400
    assert reply.json()["error"]["code"] == "invalid_scenario"
    assert "did you mean 'gap'" in reply.json()["error"]["message"]


async def test_an_unknown_path_is_a_404_and_logged(sim: Simulator) -> None:
    reply = await send(sim, b"POST /v1/redirected?x=1 HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
    assert reply.status == 404
    assert (sim.log[-1].path, sim.log[-1].status, sim.log[-1].model) == ("/v1/redirected?x=1", 404, None)


async def test_what_is_not_http_is_a_400_and_a_close(sim: Simulator) -> None:
    reply = await send(sim, b"\x16\x03\x01 hello\r\n\r\n")
    assert reply.status == 400
    assert reply.headers["connection"] == "close"


async def test_an_upgrade_is_refused(sim: Simulator) -> None:
    reply = await send(sim, b"GET /healthz HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
    assert reply.status == 400


async def test_a_head_over_the_limit_is_a_431(sim: Simulator) -> None:
    reply = await send(sim, b"GET / HTTP/1.1\r\nx-long: " + b"x" * (HEAD_BYTES_MAX + 1))
    assert reply.status == 431


async def test_a_body_over_the_limit_is_a_413_that_the_client_gets_to_read(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(b" " * (BODY_BYTES_MAX + 1)))
    await writer.drain()
    assert (await read_reply(reader)).status == 413
    assert await reader.read() == b""
    writer.close()
    assert sim.log == ()


async def test_a_large_body_within_the_limit_is_read(sim: Simulator) -> None:
    content = "a" * 20_000_000
    usage = (await ask(sim, messages=[{"role": "user", "content": content}])).json()["usage"]
    assert usage["prompt_tokens"] == 3 + 4 + 5_000_000


async def test_a_client_that_expects_100_continue_gets_it(sim: Simulator) -> None:
    body = chat_body("sim")
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(body, {"expect": "100-continue"})[: -len(body)])
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body)
    assert (await read_reply(reader)).status == 200
    writer.close()


# --- connections


async def test_a_connection_serves_one_request_after_another(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    for spec, stream in (("n=1", False), ("n=2", True), ("status=500", False), ("gpa=1", False), ("fault=error", True)):
        writer.write(request_bytes(chat_body(f"sim?{spec}", stream=stream)))
        assert (await read_reply(reader)).complete
    writer.close()
    assert len(sim.log) == 5


async def test_a_request_in_pieces_is_read(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    for byte in request_bytes(chat_body("sim?n=3"), {"X-Simulate": "n=4"}):
        writer.write(bytes([byte]))
        await writer.drain()
    assert (await read_reply(reader)).json()["usage"]["completion_tokens"] == 4
    writer.close()


async def test_connection_close_is_honoured(sim: Simulator) -> None:
    for stream in (False, True):
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        writer.write(request_bytes(chat_body("sim", stream=stream), {"connection": "close"}))
        reply = await read_reply(reader)
        assert reply.headers["connection"] == "close"
        assert await reader.read() == b""
        writer.close()


async def test_a_client_that_pipelines_is_cut_off(sim: Simulator) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(chat_body("sim?barrier=b")))
    await sim.waiting("b", 1)
    writer.write(request_bytes(chat_body("sim")))
    await sim.idle()
    assert (len(sim.log), sim.log[0].ended) == (1, "refused")
    writer.close()


async def test_a_client_that_leaves_mid_stream_is_noted_with_what_it_had(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(chat_body("sim?lockstep=a&n=9", stream=True)))
    sim.step("a", 4)
    await sim.sent("a", 4)
    await read_head(reader)
    writer.close()
    await sim.idle()
    attempt = sim.log[-1]
    assert (attempt.ended, attempt.client_closed) == ("client_closed", True)
    assert (attempt.status, attempt.events, attempt.completion_tokens) == (200, 4, 3)


async def test_a_slow_reader_holds_the_stream_back_and_loses_nothing(sim: Simulator) -> None:
    for spec in ("n=60000", "n=60000&rate=1000000&burst=100"):
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port, limit=4096)
        writer.write(request_bytes(chat_body(f"sim?{spec}&usage=final", stream=True)))
        await read_head(reader)
        await read_chunk(reader)
        assert sim.log[-1].ended == "open", "a stream of 15 MB can't have left while nobody reads"
        while await read_chunk(reader):
            pass
        await sim.idle()
        assert sim.log[-1].ended == "complete"
        writer.close()


async def test_a_reset_comes_after_all_that_was_sent_before_it(sim: Simulator) -> None:
    reply = await ask(sim, "n=60000&fault=reset@20000", stream=True)
    assert reply.reset
    assert len(reply.payloads()) == 20_000


async def test_stopping_drops_every_connection() -> None:
    sim = await Simulator.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(chat_body("sim?gap=1h", stream=True)))
    await read_head(reader)
    await sim.stop()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        while True:
            await reader.readexactly(1)
    writer.close()
    assert sim.log[-1].ended == "stopped"
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", sim.port)


async def test_serve_runs_until_it_is_cancelled() -> None:
    ready: asyncio.Future[Simulator] = asyncio.get_running_loop().create_future()
    told: list[int] = []

    async def announce(sim: Simulator) -> None:
        told.append(sim.port)
        ready.set_result(sim)

    running = asyncio.create_task(serve("127.0.0.1", 0, parse_scenario("n=3"), ready=announce))
    sim = await ready
    assert told == [sim.port]
    assert (await ask(sim)).json()["usage"]["completion_tokens"] == 3
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_an_ipv6_address_is_bracketed_in_the_base_url() -> None:
    async with await Simulator.start() as sim:
        assert sim.base_url == f"http://127.0.0.1:{sim.port}/v1"
        sim.host = "::1"
        assert sim.base_url == f"http://[::1]:{sim.port}/v1"


# --- the log


async def test_an_attempt_is_recorded_as_it_was_sent(sim: Simulator) -> None:
    body = chat_body("sim?n=4", stream=True)
    await send(sim, request_bytes(body, {"Authorization": "Bearer sk-1", "X-Twice": "a", "x-twice": "b"}))
    attempt = sim.log[0]
    assert (attempt.sequence, attempt.model, attempt.stream, attempt.body) == (1, "sim?n=4", True, body)
    assert attempt.path == "/v1/chat/completions"
    assert ("Authorization", "Bearer sk-1") in attempt.headers
    assert [value for name, value in attempt.headers if name.lower() == "x-twice"] == ["a", "b"]
    assert (attempt.status, attempt.events, attempt.completion_tokens) == (200, 7, 4)
    assert (attempt.ended, attempt.client_closed) == ("complete", False)
    with pytest.raises(AttributeError):
        attempt.status = 500  # type: ignore[misc]


async def test_the_log_keeps_the_newest_attempts() -> None:
    async with await Simulator.start(log_attempts_max=3) as sim:
        for _ in range(5):
            await ask(sim)
        assert [attempt.sequence for attempt in sim.log] == [3, 4, 5]


def exchanges(sizes: list[int]) -> list[Exchange]:
    return [Exchange(number, 0.0, b"/", [], b"x" * size) for number, size in enumerate(sizes, 1)]


def test_the_log_is_bounded_in_bytes() -> None:
    log = Log(None, 100)
    for exchange in exchanges([60, 30, 20, 101, 5]):
        log.add(exchange)
    assert [record.sequence for record in log.records()] == [5]


def test_the_log_is_unbounded_when_told() -> None:
    log = Log(None, None)
    for exchange in exchanges([1000] * 50):
        log.add(exchange)
    assert len(log.records()) == 50


# --- clients


async def test_another_client_reads_many_streams_at_once(sim: Simulator) -> None:
    async with httpx2.AsyncClient(verify=False) as client:

        async def one(tokens: int) -> bytes:
            body = {"model": f"sim?n={tokens}&gap=1ms", "stream": True, "messages": MESSAGES}
            reply = await client.post(f"{sim.base_url}/chat/completions", json=body)
            return reply.content

        bodies = await asyncio.gather(*(one(tokens) for tokens in range(1, 31)))
    assert [body.count(b"data: ") for body in bodies] == [tokens + 3 for tokens in range(1, 31)]
    assert all(attempt.ended == "complete" for attempt in sim.log)


async def test_the_official_client_understands_every_answer(sim: Simulator) -> None:
    async with openai.AsyncOpenAI(base_url=sim.base_url, api_key="sk-1", max_retries=0) as client:
        messages = [{"role": "user", "content": "Hello"}]
        batch = await client.chat.completions.create(model="sim?n=5", messages=messages)
        assert batch.choices[0].message.content == expected_text(5)
        said = ""
        usage = None
        async for event in await client.chat.completions.create(
            model="sim?n=5&usage=null_everywhere",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
        ):
            said += (event.choices[0].delta.content or "") if event.choices else ""
            usage = event.usage or usage
        assert said == expected_text(5)
        assert usage is not None
        assert usage.completion_tokens == 5
        tool = await client.chat.completions.create(model="sim?tool=f", messages=messages)
        assert tool.choices[0].message.tool_calls[0].function.name == "f"
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="sim?status=429", messages=messages)
        assert [model.id async for model in client.models.list()] == ["sim"]


# --- documentation


def documented() -> set[str]:
    prose = re.sub(r"```.*?```", "", DOCS.read_text(), flags=re.DOTALL)
    return set(re.findall(r"`([^`]+)`", prose))


def test_every_key_has_a_row_in_the_documentation() -> None:
    rows = re.findall(r"^\| `(\w+)`(?:, or `(\w+)`)? \|", DOCS.read_text(), re.MULTILINE)
    named = {name for row in rows for name in row if name}
    assert set(KEYS) | set(ALIASES) <= named


def test_every_fault_usage_style_and_finish_reason_is_documented() -> None:
    words = documented()
    for fault in get_args(FaultName):
        assert fault in words or f"{fault}@k" in words, fault
    for fault in POSITIONED:
        assert f"{fault}@k" in words, fault
    assert set(get_args(UsageStyle)) <= words
    assert all(reason in DOCS.read_text() for reason in get_args(FinishReason))


def test_every_control_path_is_documented() -> None:
    text = DOCS.read_text()
    for method, path in HANDLERS:
        assert f"| {method.decode()} {path}" in text, path


async def test_every_scenario_in_the_documentation_is_right(sim: Simulator) -> None:
    specs = re.findall(r"sim\?([^\"\s`]+)", DOCS.read_text())
    assert len(specs) >= 4
    assert all(isinstance(parse_scenario(spec), Scenario) for spec in specs)
    assert (await control(sim, "GET", "/healthz")).status == 200


# --- what is remembered has a limit


async def test_more_scenarios_than_are_remembered_are_served_right(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    for number in (*range(RECIPES_MAX + 2), 0):
        writer.write(request_bytes(chat_body(f"sim?n=1&cached={number}")))
        usage = (await read_reply(reader)).json()["usage"]
        assert usage["prompt_tokens_details"]["cached_tokens"] == number
    writer.close()


def test_more_models_than_are_counted_start_again() -> None:
    faults = Faults()
    scenario = parse_scenario("status=500&fault_times=1&fault_rate=0.999999")
    for number in range(MODELS_COUNTED_MAX + 1):
        assert faults.strikes(f"sim/{number}", scenario)
    assert not faults.strikes(f"sim/{MODELS_COUNTED_MAX}", scenario)
    assert faults.strikes("sim/0", scenario)
