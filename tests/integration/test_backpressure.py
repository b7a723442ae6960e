"""A client that doesn't read holds its provider up, and the router holds next to nothing for it."""

from helpers.running import chat, running
from helpers.settled import settled
from helpers.streaming import DONE, content, finishes, streaming
from helpers.until import still
from tollway.simulator import Simulator, expected_text

# 128 choices of 1,000 tokens: 128,000 events of over 200 bytes.
CHOICES, TOKENS = 128, 1_000
LONG = chat(stream=True, n=CHOICES)
EVENT_BYTES_MIN = 200
STREAM_BYTES_MIN = CHOICES * TOKENS * EVENT_BYTES_MIN

ALL_STOPPED = dict.fromkeys(range(CHOICES), "stop")

# What the kernel takes on two connections (measured: 6 MB), and the few buffers of 64 KB that anybody else has.
ON_THE_WAY_BYTES_MAX = 10_000_000
PAUSE_S = 0.5
IDLE = 'timeouts = { idle = "250ms" }'  # shorter than the pause


def pushed(simulator: Simulator) -> int:
    """Bytes of events, at least, that the provider could get rid of."""
    return sum(attempt.events for attempt in simulator.log) * EVENT_BYTES_MIN


async def test_a_client_that_does_not_read_holds_its_provider_up():
    async with running({"sim": f"tokens={TOKENS}"}) as router:
        wallet = await router.wallet("2.00")
        async with streaming(router, wallet, LONG, small_buffer=True) as stream:
            await router.simulator.seen(1)
            await still(lambda: pushed(router.simulator), PAUSE_S)
            assert 0 < pushed(router.simulator) < ON_THE_WAY_BYTES_MAX < STREAM_BYTES_MIN
            stream.leave()
            assert (await settled(router, wallet))["ended"] == "client_left"
        await router.simulator.idle()
        assert router.simulator.log[0].client_closed


async def test_a_pause_of_the_client_is_not_a_stall_of_the_provider_and_loses_nothing():
    async with running({"sim": f"tokens={TOKENS}"}, provider_extra=IDLE) as router:
        wallet = await router.wallet("2.00")
        async with streaming(router, wallet, LONG, small_buffer=True) as stream:
            await router.simulator.seen(1)
            await still(lambda: pushed(router.simulator), PAUSE_S)
            assert pushed(router.simulator) < STREAM_BYTES_MIN
            events = await stream.rest()
        assert events[-1] == f"data: {DONE}"
        assert finishes([event for event in events if '"finish_reason":null' not in event]) == ALL_STOPPED
        for choice in (0, CHOICES - 1):
            own = [event for event in events if f'"index":{choice},' in event]
            assert content(own, choice) == expected_text(TOKENS, choice=choice)
        assert (await settled(router, wallet))["usage"]["completion"] == CHOICES * TOKENS


async def test_one_client_that_does_not_read_holds_up_nobody_else():
    async with running({"sim": "tokens=5"}) as router:
        wallet, other = await router.wallet("2.00"), await router.wallet("1.00")
        body = chat(f"simulate:tokens={TOKENS}", stream=True, n=CHOICES)
        async with streaming(router, wallet, body, small_buffer=True) as stream:
            await router.simulator.seen(1)
            await still(lambda: pushed(router.simulator), PAUSE_S)
            assert (await router.post(other, chat(stream=True))).text.endswith(f"data: {DONE}\n\n")
            stream.leave()
            await settled(router, wallet)
