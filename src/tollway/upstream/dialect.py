"""What a dialect is: the translation between a caller's API and a provider's, values in and values out, no I/O.

Its files are named `dialects/<client>_<backend>.py`: the list of files is the list of what is supported.
"""

from collections.abc import Mapping
from typing import Protocol

from tollway.domain.answer import Answer, StreamEvent
from tollway.domain.call import Call
from tollway.domain.errors import ProviderFault
from tollway.domain.plan import Candidate
from tollway.domain.seams import HttpRequest


class StreamReader(Protocol):
    """Reads one stream. Faults never overtake events: what came before the fault in the same read is returned first."""

    @property
    def done(self) -> bool:
        """The provider said that it is at the end ([DONE], in OpenAI's API). Whatever comes after it is ignored."""

    @property
    def fault(self) -> ProviderFault | None:
        """What the next call will raise: known as soon as the read that carried it, so nobody has to wait for more."""

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that `data` completed, perhaps none.

        Raises ProviderFault: "cut" for a damaged event, "error_event" for an error inside the stream."""

    def end(self) -> list[StreamEvent]:
        """The body is over: an event that only lacked its blank line. ProviderFault("cut") for one that is torn."""


class Dialect(Protocol):
    """One provider's. Its secrets are kept out of every fault's detail, as are keys of known shapes."""

    def request(self, call: Call, candidate: Candidate, *, max_tokens: int | None = None) -> HttpRequest:
        """The call as this candidate is to be asked. `max_tokens` caps what the caller allowed, for each choice."""

    def answer(self, body: bytes) -> Answer:
        """A whole answer (status 200). ProviderFault: "malformed" when it is none, "error_event" when it is an
        error."""

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFault:
        """What an answer with any status but 200 means. `body` may be cut."""

    def stream(self) -> StreamReader:
        """A reader for one stream."""
