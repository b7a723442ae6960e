"""A router that is killed at every step of its calls leaves books that are right, call by call."""

from pathlib import Path

from chaos.books import SqliteBooks
from chaos.history import one_round
from chaos.steps import STEPS
from chaos.trial import trial

KILLS = 20
SEED = 4


async def test_after_each_kill_every_call_is_booked_as_its_client_and_its_provider_saw_it(tmp_path: Path) -> None:
    async with trial(SqliteBooks(tmp_path), SEED) as made:
        tally = made.tally
        for _ in range(KILLS):
            await one_round(made)
        assert tally.found.differences == []
        assert tally.kills.total() == KILLS
        assert set(STEPS) <= tally.kills.keys()
        assert {"whole", "broken off, not booked", "refused"} <= tally.found.calls.keys()

        # A row that isn't what happened doesn't go unseen. What a call costs whose client left is known between bounds,
        # and nine times it may be within them: the row is of one that is known to a nano-USD.
        wrong = "UPDATE transfers SET amount = 9 * amount WHERE seq = {post}"
        await one_round(made, "after_last_byte", kinds=("batch",), spoil=wrong)
        assert any("charged" in difference for difference in tally.found.differences)
        assert any("its transfers say" in difference for difference in tally.found.differences)
