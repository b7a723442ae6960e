"""How many running streams' events a round of the event loop hands over, and what has its turn between them."""

import asyncio
from itertools import pairwise

from tollway.upstream.http1.response import READ_BYTES_MAX, Response
from tollway.upstream.http1.rounds import HANDED_OVER_MAX, Rounds

STREAMS = 3 * HANDED_OVER_MAX


class Quiet:
    paused = False

    def resume(self) -> None:
        raise AssertionError("nothing was paused")

    def drop(self) -> None:
        raise AssertionError("nothing is dropped")


class Streams:
    """Many answers that are pumped, and what was taken of each, in the order in which it was."""

    def __init__(self, count: int) -> None:
        loop = asyncio.get_running_loop()
        rounds = Rounds(loop)
        self.taken: list[tuple[int, bytes]] = []
        self.responses = [Response(loop, Quiet(), rounds) for _ in range(count)]
        self.pumps: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        for index, response in enumerate(self.responses):

            def take(data: bytes, index: int = index) -> bool:
                self.taken.append((index, data))
                return True

            self.pumps.append(asyncio.ensure_future(response.pump(take)))
        await asyncio.sleep(0)

    def come(self, index: int, data: bytes = b"x") -> None:
        self.responses[index].add([data])

    async def end(self) -> None:
        for response in self.responses:
            response.end()
        await asyncio.gather(*self.pumps)


async def streams(count: int) -> Streams:
    made = Streams(count)
    await made.begin()
    return made


async def test_what_is_within_a_rounds_room_is_handed_over_in_the_moment_it_comes() -> None:
    made = await streams(HANDED_OVER_MAX)
    for turn in range(3):
        for index in range(HANDED_OVER_MAX):
            made.come(index)
            assert made.taken[-1] == (index, b"x")
        assert len(made.taken) == (turn + 1) * HANDED_OVER_MAX
        await asyncio.sleep(0)  # the next round has room again
    await made.end()


async def test_a_crowd_is_handed_over_in_its_order_and_others_have_their_turn_between() -> None:
    made = await streams(STREAMS)
    for index in range(STREAMS):
        made.come(index)
    assert len(made.taken) == HANDED_OVER_MAX
    seen: list[int] = []
    for _ in range(5):
        await asyncio.sleep(0)  # as a request that has just come
        seen.append(len(made.taken))
    steps = [after - before for before, after in pairwise([HANDED_OVER_MAX, *seen])]
    assert max(steps) == HANDED_OVER_MAX, "a round handed over more than it may"
    assert [index for index, _ in made.taken] == list(range(STREAMS))
    await made.end()


async def test_more_of_a_stream_that_waits_for_its_round_comes_with_it() -> None:
    made = await streams(STREAMS)
    for data in (b"1", b"2", b"3"):
        for index in range(STREAMS):
            made.come(index, data)
    for _ in range(STREAMS):
        await asyncio.sleep(0)
    for index in range(STREAMS):
        assert b"".join(data for of, data in made.taken if of == index) == b"123"
    assert [data for of, data in made.taken if of == STREAMS - 1] == [b"123"]
    await made.end()


async def test_what_waits_for_its_round_when_the_answer_ends_can_be_read() -> None:
    made = await streams(STREAMS)
    for index in range(STREAMS):
        made.come(index, b"last")
    ended = made.responses[-1]
    ended.end()
    await made.pumps.pop()
    assert (STREAMS - 1, b"last") not in made.taken
    assert [await ended.read(), await ended.read()] == [b"last", b""]
    await made.end()


async def test_a_taker_that_has_enough_or_fails_in_its_round_is_given_no_more() -> None:
    made = await streams(STREAMS)
    enough, fails = (Response(asyncio.get_running_loop(), Quiet(), made.responses[0]._rounds) for _ in range(2))
    taken: list[bytes] = []

    def fail(data: bytes) -> bool:
        raise ValueError(data)

    pumps = [asyncio.ensure_future(enough.pump(lambda data: taken.append(data) is not None))]
    pumps.append(asyncio.ensure_future(fails.pump(fail)))
    await asyncio.sleep(0)
    for index in range(STREAMS):
        made.come(index)
    for response in (enough, fails):
        response.add([b"1"])
    for _ in range(STREAMS):
        await asyncio.sleep(0)
    assert taken == [b"1"]
    assert pumps[0].done()
    assert isinstance(pumps[1].exception(), ValueError)
    enough.add([b"2"])
    assert await enough.read() == b"2"
    await made.end()


async def test_of_a_long_read_no_more_is_given_together_than_may_be_and_the_rest_waits() -> None:
    made = await streams(STREAMS)
    sizes: list[int] = []
    stopping = Response(asyncio.get_running_loop(), Quiet(), made.responses[0]._rounds)
    pump = asyncio.ensure_future(stopping.pump(lambda data: sizes.append(len(data)) is not None))
    await asyncio.sleep(0)
    stopping.add([b"x" * READ_BYTES_MAX, b"y" * READ_BYTES_MAX, b"z"])
    await pump
    assert sizes == [READ_BYTES_MAX]
    assert [await stopping.read(), await stopping.read()] == [b"y" * READ_BYTES_MAX, b"z"]
    made.come(0, b"x" * (2 * READ_BYTES_MAX + 1))
    assert [len(data) for _, data in made.taken] == [READ_BYTES_MAX, READ_BYTES_MAX, 1]
    await made.end()


async def test_whoever_stopped_pumping_before_its_round_can_read_what_came() -> None:
    made = await streams(STREAMS)
    for index in range(STREAMS):
        made.come(index, b"rest")
    made.pumps[-1].cancel()
    await asyncio.wait([made.pumps[-1]])
    assert await made.responses[-1].read() == b"rest"
    made.pumps.pop()
    await made.end()
    assert (STREAMS - 1, b"rest") not in made.taken


async def test_a_reader_that_waits_has_no_round_to_wait_for() -> None:
    made = await streams(STREAMS)
    loop = asyncio.get_running_loop()
    reader = Response(loop, Quiet(), made.responses[0]._rounds)
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    for index in range(STREAMS):
        made.come(index)
    reader.add([b"first"])
    await asyncio.sleep(0)
    assert reading.done(), "a first token waited for a crowd's events"
    assert len(made.taken) < STREAMS
    await made.end()
