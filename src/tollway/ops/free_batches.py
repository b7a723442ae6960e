"""Which wallets have many batch calls cut by a time limit. Such a call is free, and its provider may bill it all the
same, so that a slow model can be used against the operator. Must not know how an alarm is told.
"""

from collections import OrderedDict

from tollway.domain.observer import NullObserver, Observer
from tollway.domain.record import CallRecord

MANY = 20  # of one wallet within an hour: more than a slow day of an honest client that tries again a few times
HOUR_MS = 3_600_000
WALLETS_MAX = 10_000  # counted at once; who was cut longest ago is forgotten first


class FreeBatches(NullObserver):
    """Passes an alarm on to `observer`, once an hour and wallet."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()  # by account: the hour, and calls cut in it

    def call_ended(self, record: CallRecord) -> None:
        if record.stream or record.price or not _cut(record):
            return
        hour = record.ended_ms // HOUR_MS
        counted_in, count = self._counts.pop(record.account, (hour, 0))
        count = count + 1 if counted_in == hour else 1
        self._counts[record.account] = (hour, count)
        if len(self._counts) > WALLETS_MAX:
            self._counts.popitem(last=False)
        if count == MANY:
            detail = f"{record.account}: {count} batch calls within an hour ran into a time limit, unpaid"
            self._observer.alarm("batches_cut", detail)


def _cut(record: CallRecord) -> bool:
    return record.ended == "cut_by_router" or any(attempt.outcome == "batch_timeout" for attempt in record.attempts)
