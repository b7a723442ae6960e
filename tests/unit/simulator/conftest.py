from collections.abc import AsyncIterator

import pytest

from tollway.simulator import Simulator


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with await Simulator.start() as simulator:
        yield simulator
