"""Records of calls that are older than they are kept: gone from a running router, and what asks for one is told so."""

from pathlib import Path

import pytest

from helpers.configs import PROVIDER
from helpers.refusals import refused
from helpers.running import chat, running
from helpers.until import until
from tollway.config.load import loads
from tollway.domain.clock import SystemClock
from tollway.domain.errors import RecordPruned
from tollway.ledger import operator
from tollway.ledger.retention import Retention


async def test_a_call_that_is_not_kept_any_more_is_not_found_and_said_to_have_been_there(tmp_path: Path) -> None:
    async with running({"sim": "tokens=3"}, ledger=tmp_path / "books.db") as router:
        wallet = await router.wallet("1")
        answer = await router.post(wallet, chat())
        call = answer.headers["x-request-id"]
        assert (await router.get(f"/generations/{call}", wallet))["cost_usd"] != "0.00"
        retention = Retention(router.ledger, _Tomorrow(), 1.0)
        retention.start()
        who = next(iter(router.accounts))

        async def gone() -> bool:
            try:
                return await router.ledger.call(who, call) is None
            except RecordPruned:
                return True

        await until(gone)
        await retention.aclose()
        await retention.aclose()
        headers = router.headers(wallet)
        found = await router.http.get(f"/api/v1/generations/{call}", headers=headers)
        refused(found, 404, "not_found", param="id", says="not kept any more")
        never = await router.http.get("/api/v1/generations/nothing", headers=headers)
        refused(never, 404, "not_found", param="id", says="no finished call")
        usage = await router.get("/session/usage", wallet)
        assert usage["total"]["calls"] == 1
    assert operator.audit(tmp_path / "books.db").clean


class _Tomorrow(SystemClock):
    def now_ms(self) -> int:
        return super().now_ms() + 86_400_000


def test_how_long_is_said_in_days(tmp_path: Path) -> None:
    kept = loads(f'[ledger]\nkeep_calls = "90d"\n{PROVIDER}', {}, tmp_path).ledger.keep_calls
    assert kept == 90 * 86_400
    for wrong in ("1d", "90", "forever", "40000d"):
        with pytest.raises(ValueError, match="expected days"):
            loads(f'[ledger]\nkeep_calls = "{wrong}"\n{PROVIDER}', {}, tmp_path)
