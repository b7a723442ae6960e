"""Where the path tells what happened. Implementations (logs, metrics) are injected; they must not raise or block."""

from typing import Literal, Protocol

from tollway.domain.answer import AttemptRecord
from tollway.domain.record import CallRecord
from tollway.domain.recount import Recount, RecountOutcome

Limited = Literal["wallet", "address", "provider"]
Granted = Literal["granted", "refused"]


class Observer(Protocol):
    def call_ended(self, record: CallRecord) -> None:
        """A call is booked, and its answer sent or given up."""

    def attempt_ended(self, attempt: AttemptRecord, detail: str) -> None:
        """One try at a provider ended; `detail` is for the operator and never for a caller."""

    def request_refused(self, code: str, status: int, client: str) -> None:
        """A request was answered with an error before any hold was made; `client` is the address it came from, ""
        where there is none."""

    def limited(self, who: Limited, kind: str, provider: str = "") -> None:
        """A wallet or an address was over a limit (requests, tokens, concurrency ...), or a provider was and was left
        out for it. `kind` is a word of limits/told.py, `provider` an id of the configuration."""

    def uncounted(self, who: Limited) -> None:
        """Something that is limited passed without being counted: the store of counts couldn't be asked, and the
        configuration lets pass then."""

    def retried(self, provider: str, budget: Granted) -> None:
        """A provider that failed a call was to be asked once more for it; what its retry budget said."""

    def recounted(self, provider: str, outcome: RecountOutcome, recount: Recount | None) -> None:
        """A call was counted again by our own tokenizer, or couldn't be."""

    def committed(self, commands: int, seconds: float) -> None:
        """The ledger made a batch of commands durable."""

    def alarm(self, what: str, detail: str) -> None:
        """Something the operator has to look at: a provider refuses our key, the ledger can't commit, absurd usage."""


class NullObserver:
    def call_ended(self, record: CallRecord) -> None: ...

    def attempt_ended(self, attempt: AttemptRecord, detail: str) -> None: ...

    def request_refused(self, code: str, status: int, client: str) -> None: ...

    def limited(self, who: Limited, kind: str, provider: str = "") -> None: ...

    def uncounted(self, who: Limited) -> None: ...

    def retried(self, provider: str, budget: Granted) -> None: ...

    def recounted(self, provider: str, outcome: RecountOutcome, recount: Recount | None) -> None: ...

    def committed(self, commands: int, seconds: float) -> None: ...

    def alarm(self, what: str, detail: str) -> None: ...
