"""A router that is killed at every step of its calls leaves books that are right, call by call."""

from pathlib import Path

from chaos.history import Tally, history
from chaos.steps import STEPS

KILLS = 20
SEED = 4


async def test_after_each_kill_every_call_is_booked_as_its_client_and_its_provider_saw_it(tmp_path: Path) -> None:
    tally = Tally()
    async with history(tmp_path, SEED, tally) as lives:
        for _ in range(KILLS):
            await lives.round()
        assert tally.found.differences == []
        assert tally.kills.total() == KILLS
        assert set(STEPS) <= tally.kills.keys()
        assert {"whole", "broken off, not booked", "refused"} <= tally.found.calls.keys()

        # A row that isn't what happened doesn't go unseen.
        await lives.round("after_last_byte", spoil="UPDATE transfers SET amount = 9 * amount WHERE seq = {post}")
        assert any("charged" in difference for difference in tally.found.differences)
        assert any("its transfers say" in difference for difference in tally.found.differences)
