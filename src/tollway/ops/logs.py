"""Observer that writes one line of JSON per event to a log, and never a message, a key or a signature."""

import logging

from tollway.domain.answer import AttemptRecord
from tollway.domain.money import format_usd
from tollway.domain.observer import Granted, Limited
from tollway.domain.record import CallRecord
from tollway.domain.recount import Recount, RecountOutcome
from tollway.wire import json

log = logging.getLogger("tollway")


class LogObserver:
    """Calls at INFO, failed attempts and refusals at INFO, alarms at WARNING. A commit is too frequent to be a line."""

    def call_ended(self, record: CallRecord) -> None:
        if not log.isEnabledFor(logging.INFO):
            return
        _write(
            logging.INFO,
            "call",
            {
                "id": record.id,
                "account": record.account,
                "model": record.model_asked,
                "provider": record.provider,
                "ended": record.ended,
                "delivery": record.delivery,
                "usd": format_usd(record.price),
                "ms": record.ended_ms - record.created_ms,
                "attempts": len(record.attempts),
                "error": record.error_code,
            },
        )

    def attempt_ended(self, attempt: AttemptRecord, detail: str) -> None:
        if attempt.outcome not in ("ok", "cancelled"):
            _write(logging.INFO, "attempt", {"attempt": attempt, "detail": detail})

    def request_refused(self, code: str, status: int, client: str) -> None:
        _write(logging.INFO, "refused", {"code": code, "status": status, "client": client})

    def limited(self, who: Limited, kind: str, provider: str = "") -> None:
        pass  # a refusal is a line of its own; a provider that is left out stands in the call's verdicts

    def uncounted(self, who: Limited) -> None:
        pass  # that the store is lost is an alarm, once

    def retried(self, provider: str, budget: Granted) -> None:
        pass  # the failed attempt is a line of its own

    def recounted(self, provider: str, outcome: RecountOutcome, recount: Recount | None) -> None:
        pass  # counts are for the metrics; a deviation is an alarm

    def committed(self, commands: int, seconds: float) -> None:
        pass

    def alarm(self, what: str, detail: str) -> None:
        _write(logging.WARNING, "alarm", {"what": what, "detail": detail})


def _write(level: int, event: str, members: dict[str, object]) -> None:
    if log.isEnabledFor(level):
        log.log(level, "%s", json.encode({"event": event, **members}).decode())
