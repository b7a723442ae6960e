"""Lock-step and barriers: what a test is told, and what it can rely on. No clocks."""

import asyncio

import pytest

from helpers.simulated import ask, chat_body, control, read_chunk, read_head, request_bytes, send
from tollway.simulator import Simulator, expected_text
from tollway.simulator.gates import GATES_MAX, Barrier, Named


async def begin(sim: Simulator, spec: str, *, stream: bool = True) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(request_bytes(chat_body(f"sim?{spec}", stream=stream)))
    return reader, writer


async def test_in_lockstep_each_event_waits_for_its_step(sim: Simulator) -> None:
    reader, writer = await begin(sim, "lockstep=a&n=3")
    await read_head(reader)
    for event in range(1, 7):
        assert sim.log[-1].events == event - 1
        sim.step("a")
        await sim.sent("a", event)
        assert (await read_chunk(reader)).startswith(b"data: ")
    assert sim.log[-1].ended == "complete"
    assert await read_chunk(reader) == b""
    writer.close()


async def test_steps_may_be_given_ahead_and_several_at_once(sim: Simulator) -> None:
    sim.step("a", 2)
    _, writer = await begin(sim, "lockstep=a&n=3")
    await sim.sent("a", 2)
    assert sim.log[-1].events == 2
    sim.step("a", 2)
    await sim.sent("a", 4)
    assert sim.log[-1].events == 4
    writer.close()
    await sim.idle()
    assert (sim.log[-1].ended, sim.log[-1].completion_tokens) == ("client_closed", 3)


async def test_each_stream_in_lockstep_is_let_go_by_one_event(sim: Simulator) -> None:
    lines = [await begin(sim, "lockstep=a&n=3") for _ in range(3)]
    await sim.seen(3)
    assert (await control(sim, "POST", "/lockstep/each?id=a")).json() == {"went": 3}
    await sim.sent("a", 3)
    assert [attempt.events for attempt in sim.log] == [1, 1, 1]
    assert (await control(sim, "POST", "/lockstep/each?id=a")).json() == {"went": 3}
    await sim.sent("a", 6)
    assert [attempt.events for attempt in sim.log] == [2, 2, 2]
    for _, writer in lines:
        writer.close()


async def test_a_freed_lockstep_runs_to_its_end(sim: Simulator) -> None:
    answer = asyncio.create_task(ask(sim, "lockstep=a&n=3", stream=True))
    sim.step("a")
    await sim.sent("a", 1)
    sim.free("a")
    assert (await answer).text() == expected_text(3)
    assert (await ask(sim, "lockstep=a&n=3", stream=True)).complete, "and so does every later one"


async def test_a_batch_answer_is_one_step(sim: Simulator) -> None:
    answer = asyncio.create_task(ask(sim, "lockstep=a"))
    await sim.seen(1)
    assert sim.log[-1].ended == "open"
    sim.step("a")
    await sim.sent("a", 1)
    assert (await answer).complete


async def test_a_step_lets_a_whole_burst_go(sim: Simulator) -> None:
    _, writer = await begin(sim, "lockstep=a&n=8&burst=4")
    sim.step("a")
    await sim.sent("a", 4)
    assert sim.log[-1].events == 4
    writer.close()


async def test_a_client_that_leaves_takes_no_step(sim: Simulator) -> None:
    _, writer = await begin(sim, "lockstep=a&n=3")
    await sim.seen(1)
    writer.close()
    await sim.idle()
    sim.step("a")
    answer = asyncio.create_task(ask(sim, "lockstep=a"))
    assert (await answer).complete


async def test_a_barrier_holds_all_until_released(sim: Simulator) -> None:
    answers = [asyncio.create_task(ask(sim, "barrier=b&n=2", stream=bool(each % 2))) for each in range(6)]
    await sim.waiting("b", 6)
    assert [attempt.status for attempt in sim.log] == [None] * 6
    assert sim.release("b") == 6
    assert all(reply.complete for reply in await asyncio.gather(*answers))
    assert (await ask(sim, "barrier=b")).complete, "a released barrier stays open"


async def test_a_barrier_can_let_some_go(sim: Simulator) -> None:
    answers = [asyncio.create_task(ask(sim, "barrier=b")) for _ in range(3)]
    await sim.waiting("b", 3)
    assert sim.release("b", 1) == 1
    done, held = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
    assert (len(done), len(held)) == (1, 2)
    assert sim.release("b") == 2
    await asyncio.gather(*held)


async def test_who_leaves_a_barrier_is_not_counted(sim: Simulator) -> None:
    _, writer = await begin(sim, "barrier=b")
    await sim.waiting("b", 1)
    writer.close()
    await sim.idle()
    assert sim.release("b") == 0
    assert (sim.log[-1].ended, sim.log[-1].prompt_tokens) == ("client_closed", 0)


async def test_a_barrier_stands_before_status_errors_too(sim: Simulator) -> None:
    answer = asyncio.create_task(ask(sim, "barrier=b&status=503"))
    await sim.waiting("b", 1)
    sim.release("b")
    assert (await answer).status == 503


async def test_waiting_can_be_given_up(sim: Simulator) -> None:
    waiting = asyncio.create_task(sim.waiting("b", 1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    answer = asyncio.create_task(ask(sim, "barrier=b"))
    await sim.waiting("b", 1)
    sim.release("b")
    assert (await answer).complete


async def test_idle_is_true_at_once_when_nothing_runs(sim: Simulator) -> None:
    await sim.idle()
    await ask(sim)
    await sim.idle()


def test_the_oldest_gate_is_forgotten_beyond_the_limit() -> None:
    barriers = Named(Barrier)
    first = barriers["0"]
    assert barriers["0"] is first
    for number in range(1, GATES_MAX + 1):
        assert barriers[str(number)]
    assert barriers["0"] is not first


# --- the same from another process


async def test_gates_are_driven_over_http(sim: Simulator) -> None:
    answer = asyncio.create_task(ask(sim, "barrier=b&lockstep=a&n=1", stream=True))
    assert (await control(sim, "GET", "/barrier/waiting?name=b&count=1")).json() == {"waiting": 1}
    assert (await control(sim, "POST", "/barrier/release?name=b")).json() == {"released": 1}
    assert (await control(sim, "POST", "/lockstep/step?id=a&events=2")).json() == {"sent": 2}
    assert (await control(sim, "GET", "/lockstep/sent?id=a&count=2")).json() == {"sent": 2}
    await control(sim, "POST", "/lockstep/free?id=a")
    assert (await answer).complete
    assert (await control(sim, "GET", "/seen?count=1")).json() == {"seen": 1}


async def test_a_control_request_waits_for_what_it_asks_for(sim: Simulator) -> None:
    waiting = asyncio.create_task(control(sim, "GET", "/barrier/waiting?name=b&count=2"))
    answers = [asyncio.create_task(ask(sim, "barrier=b")) for _ in range(2)]
    assert (await waiting).json() == {"waiting": 2}
    await control(sim, "POST", "/barrier/release?name=b&count=1")
    await control(sim, "POST", "/barrier/release?name=b&count=1")
    await asyncio.gather(*answers)


async def test_the_log_is_served_and_cleared(sim: Simulator) -> None:
    for tokens in (1, 2):
        await ask(sim, f"n={tokens}", headers={"x-thing": "Ünd".encode().decode("latin-1")})
    attempts = (await control(sim, "GET", "/log")).json()["attempts"]
    assert [attempt["completion_tokens"] for attempt in attempts] == [1, 2]
    assert '"model": "sim?n=1"' in attempts[0]["body"]
    assert len((await control(sim, "GET", "/log?after=1")).json()["attempts"]) == 1
    await control(sim, "DELETE", "/log")
    assert sim.log == ()


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/barrier/release", 400),
        ("POST", "/lockstep/step?id=a&events=x", 400),
        ("GET", "/lockstep/sent?id=", 400),
        ("GET", "/log?after=-1", 400),
        ("GET", "/barrier/release?name=b", 405),
        ("GET", "/nothing", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
    ],
)
async def test_a_wrong_control_request_is_answered_with_why(
    sim: Simulator, method: str, target: str, status: int
) -> None:
    reply = await control(sim, method, target)
    assert reply.status == status
    assert reply.json()["error"]["message"]


async def test_models_are_listed_and_any_name_is_one(sim: Simulator) -> None:
    models = (await control(sim, "GET", "/v1/models")).json()
    assert (models["object"], models["data"][0]["id"]) == ("list", "sim")
    assert (await control(sim, "GET", "/v1/models/gpt-4o")).json()["id"] == "gpt-4o"
    assert (await control(sim, "GET", "/healthz")).json() == {"status": "ok"}
    assert sim.log == (), "only what a provider would bill for is logged"


async def test_a_client_may_leave_while_a_control_request_waits(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
    assert (await read_head(reader)).status == 200
    writer.write(b"GET /seen?count=1 HTTP/1.1\r\n\r\n")
    writer.close()
    assert (await send(sim, request_bytes(chat_body("sim")))).complete


async def test_in_lock_step_a_fault_is_done_when_told(sim: Simulator) -> None:
    sim.step("f", 2)
    reader, writer = await begin(sim, "n=5&lockstep=f&fault=cut@2")
    await read_head(reader)
    await read_chunk(reader)
    await read_chunk(reader)
    await sim.sent("f", 2)
    assert sim.log[-1].ended == "open"
    sim.step("f")
    await sim.idle()
    assert (sim.log[-1].ended, sim.log[-1].events) == ("cut", 2)
    writer.close()
