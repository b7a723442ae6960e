"""Very many callers at once on one router process, good ones and bad: none of the good is lost, what each takes is
bounded, and all of it is given back."""

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from helpers.commands import TIMEOUT_S, TOLLWAY, simulator
from helpers.crowd import Crowded, crowd
from helpers.loaded import Gates, Loaded, loaded
from helpers.simulated import read_reply
from helpers.streaming import DONE, SMALL_BUFFER_BYTES

pytestmark = pytest.mark.acceptance

STREAMS = 2_000
STREAM_BYTES_MAX = 60_000  # of memory
LEFT_BYTES_MAX = 2_500  # a stream, once it has ended: less than any part of one that could be kept by mistake
SOME_STREAMS = 200
RELOADS = 20
RELOADED = r"the configuration was reloaded"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with simulator(tmp_path_factory.mktemp("simulator")) as process:
        yield process.url


@pytest.fixture
def gates(provider: str) -> Iterator[Gates]:
    with contextlib.closing(Gates(provider)) as found:
        yield found


@contextlib.contextmanager
def in_mid_stream(router: Loaded, gates: Gates, streams: int, name: str) -> Iterator[Crowded]:
    """So many streams at once: each has had its first token, and waits for its next."""
    before = gates.attempts()
    with crowd(router.crowd_of(streams, f"lockstep={name},tokens=5")) as crowded:
        gates.seen(before + streams)
        assert gates.each(name) == streams  # the role
        assert gates.each(name) == streams  # the token
        assert crowded.begun() == streams
        yield crowded


def whole(crowded: Crowded, streams: int) -> None:
    ended = crowded.ended()
    assert (ended["whole"], ended["wrong"]) == (streams, 0), ended["first"]


def booked(router: Loaded, posts: int) -> None:
    """Each was paid for once, and nothing is pending."""
    audit = router.audit()
    assert (audit["posts"], audit["holds"], audit["pending"], audit["differences"]) == (posts, posts, 0, [])


def test_two_thousand_streams_at_once_are_whole_and_paid_for_and_their_memory_serves_the_next(
    provider: str, gates: Gates, tmp_path: Path
) -> None:
    after = []
    with loaded(tmp_path, provider) as router:
        with in_mid_stream(router, gates, 10, "first") as crowded:  # so that what is made once is there
            gates.free("first")
            whole(crowded, 10)
        idle = router.rests()["process_resident_memory_bytes"]
        for name in ("wave-1", "wave-2"):
            with in_mid_stream(router, gates, STREAMS, name) as crowded:
                held = router.held()
                assert held["tollway_calls_in_flight"] == held["tollway_connections"] == STREAMS
                assert held["process_resident_memory_bytes"] - idle <= STREAMS * STREAM_BYTES_MAX
                gates.free(name)
                whole(crowded, STREAMS)
            after.append(router.rests())
        assert after[1]["tollway_tasks"] == after[0]["tollway_tasks"]
        assert after[1]["process_open_fds"] <= after[0]["process_open_fds"] < STREAMS
        # An allocator gives back to the system only what nobody lives beside; it is used again.
        grown = after[1]["process_resident_memory_bytes"] - after[0]["process_resident_memory_bytes"]
        assert grown <= STREAMS * LEFT_BYTES_MAX
        booked(router, 2 * STREAMS + 10)


def test_reloads_and_then_a_stop_in_the_middle_of_streams_break_none_of_them(
    provider: str, gates: Gates, tmp_path: Path
) -> None:
    with loaded(tmp_path, provider) as router:
        process = router.process
        with in_mid_stream(router, gates, SOME_STREAMS, "stopped") as crowded:
            for _ in range(RELOADS):
                process.lines.clear()
                process.running.send_signal(signal.SIGHUP)
                process.said(RELOADED)
            assert router.held()["tollway_calls_in_flight"] == SOME_STREAMS
            process.running.terminate()
            process.said("draining")
            assert gates.each("stopped") == SOME_STREAMS
            gates.free("stopped")
            whole(crowded, SOME_STREAMS)
            assert process.ended() == 0
        booked(router, SOME_STREAMS)
    assert "Traceback" not in "".join(process.lines)


# --- few files

FILES = 160
FEW_FILES = ("sh", "-c", f'ulimit -Sn 100 && ulimit -Hn {FILES} && exec "$0" "$@"', TOLLWAY)


def test_a_router_with_few_files_serves_what_fits_and_never_runs_out_of_them(provider: str, tmp_path: Path) -> None:
    with loaded(tmp_path, provider, program=FEW_FILES) as router, contextlib.ExitStack() as stack:
        router.process.said(f"{FILES} open files are allowed: at most 30 calls and 30 connections at once fit")
        for _ in range(3 * FILES):
            stack.enter_context(socket.create_connection((router.host, router.port), TIMEOUT_S))
        count = asyncio.run(asyncio.wait_for(served(router, asyncio.Event(), least=20), TIMEOUT_S))
        held = router.held()
        assert held["process_max_fds"] == FILES
        assert held["process_open_fds"] < FILES
        assert held["tollway_connections"] <= 30
        assert held["tollway_alarms_total alarm=connections_full"] == 1
        stack.close()
        router.rests()
        booked(router, count)


# --- bad callers

BAD = 40  # of each kind
IMPATIENT = 'slow_reader = "500ms"\nslow_sender = "500ms"\nmax_connections = 400'
DEAF = 6
DEAF_NANO_USD_MIN = 1_000 * 10_000  # far fewer tokens than the system's buffers hold
DEAF_BYTES_MAX = (
    1_000_000  # of memory, while nobody reads: our buffers of 64 KB, the parser's, the provider's; 0.6 to 0.8 seen
)
HEAD = b"GET /healthz HTTP/1.1\r\nhost: x\r\n"


async def answered(router: Loaded, sent: bytes) -> list[int]:
    """What a caller is answered that sends this and then only reads, up to the end of the connection: status codes."""
    reader, writer = await asyncio.open_connection(router.host, router.port)
    codes: list[int] = []
    try:
        writer.write(sent)
        while (reply := await read_reply(reader)).status is not None:
            codes.append(reply.status)
    except ConnectionError:
        codes.append(0)  # hung up on before it had sent all
    finally:
        writer.transport.abort()
    return codes


async def every(router: Loaded, sent: bytes) -> list[list[int]]:
    """The same of BAD callers at once."""
    return await asyncio.gather(*(answered(router, sent) for _ in range(BAD)))


async def served(router: Loaded, done: asyncio.Event, least: int | None = None) -> int:
    """A good caller that calls until it is told that enough is enough, or so often. How many answers it got, all of
    them whole."""
    count = 0
    async with httpx2.AsyncClient(base_url=router.url, timeout=TIMEOUT_S, verify=False) as client:
        while count < least if least is not None else not (done.is_set() and count):
            body = {"model": "sim/model", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
            answer = await client.post("/v1/chat/completions", json=body, headers={"sign-in-with-x": router.sign_in})
            assert answer.status_code == 200, answer.text
            assert answer.text.endswith(f"data: {DONE}\n\n")
            count += 1
    return count


def test_callers_that_send_slowly_or_too_much_are_told_so_and_hold_up_nobody(provider: str, tmp_path: Path) -> None:
    async def all_at_once(router: Loaded) -> tuple[int, dict[str, list[list[int]]]]:
        whole_body = router.request("tokens=3").encode()
        bad = {
            "a head that stops": HEAD + b"x-more:",
            "a body that stops": whole_body[:-5],
            "a body that does not come": whole_body.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
            "a header without end": HEAD + b"x-flood: " + b"x" * 1_000_000,
            "headers without end": HEAD + b"x-flood: x\r\n" * 100_000,
            "nothing": b"",
            "requests without end": (HEAD + b"\r\n") * 3_000,
        }
        done = asyncio.Event()
        good = asyncio.ensure_future(served(router, done))
        answers = await asyncio.gather(*(every(router, sent) for sent in bad.values()))
        done.set()
        return await good, dict(zip(bad, answers, strict=True))

    with loaded(tmp_path, provider, IMPATIENT) as router:
        before = router.rests()
        count, answers = asyncio.run(asyncio.wait_for(all_at_once(router), TIMEOUT_S))
        assert answers["a head that stops"] == answers["a body that stops"] == [[408]] * BAD
        assert answers["a body that does not come"] == [[408]] * BAD
        assert answers["nothing"] == [[]] * BAD
        for flood in ("a header without end", "headers without end"):
            assert {tuple(codes) for codes in answers[flood]} <= {(431,), (431, 0), (0,)}, flood
        for codes in answers["requests without end"]:
            assert set(codes[:-1]) <= {200, 400}
            assert len(codes) <= 1_000
        after = router.rests()
        assert after["process_open_fds"] <= before["process_open_fds"] + 2  # a connection to the provider, the books'
        booked(router, count)


def test_callers_that_read_nothing_are_cut_and_pay_for_what_was_delivered_and_hold_up_nobody(
    provider: str, tmp_path: Path
) -> None:
    async def all_at_once(router: Loaded) -> int:
        with contextlib.ExitStack() as stack:
            for _ in range(DEAF):
                deaf = stack.enter_context(socket.socket())
                deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
                deaf.connect((router.host, router.port))
                deaf.sendall(router.request("tokens=1000", n=128).encode())
            done = asyncio.Event()
            good = asyncio.ensure_future(served(router, done))
            await asyncio.to_thread(all_cut, router)
            done.set()
            return await good

    def all_cut(router: Loaded) -> None:
        deadline = time.monotonic() + TIMEOUT_S
        while (held := router.held()).get("tollway_calls_total ended=cut_by_router", 0) < DEAF:
            peak.append(held["process_resident_memory_bytes"])
            assert time.monotonic() < deadline, held
            time.sleep(0.05)

    peak: list[float] = []
    with loaded(tmp_path, provider, IMPATIENT) as router:
        before = router.rests()["process_resident_memory_bytes"]
        count = asyncio.run(asyncio.wait_for(all_at_once(router), TIMEOUT_S))
        router.rests()
        assert max(peak) - before <= DEAF * DEAF_BYTES_MAX
        booked(router, count + DEAF)
        assert router.audit()["charged_total"] >= DEAF * DEAF_NANO_USD_MIN
