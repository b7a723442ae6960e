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

    def text_bytes_of(self, data: bytes) -> int:
        """The UTF-8 bytes of text in `data`, where that is whole events that differ from the last one in their text
        alone; else 0. Nothing more need be known of those: they haven't to be fed, and may be."""

    def end(self) -> list[StreamEvent]:
        """The body is over: an event that only lacked its blank line. ProviderFault("cut") for one that is torn."""


class Dialect(Protocol):
    """One provider's. Its secrets are kept out of every fault's detail, as are keys of known shapes.

    What every one of them promises is held by tests/contract/test_dialects.py; docs/dialects.md says how to add one.
    Answers, events and `usage` come out as OpenAI's, whatever the provider wrote."""

    def request(self, call: Call, candidate: Candidate, *, max_tokens: int | None = None) -> HttpRequest:
        """The call as this candidate is to be asked, which it stays unchanged by. `max_tokens` caps what the caller
        allowed, for each choice. ProviderFault("inexpressible") with a `reason` for what the provider's API has no
        words for and what can't be left out, a kind of content part for one: somebody else is asked."""

    def models(self) -> HttpRequest:
        """What asks for the list of the provider's models: free, and needs its key."""

    def probe(self) -> HttpRequest:
        """An empty question, which whoever speaks this API refuses for nothing: shows that somebody does."""

    def answer(self, body: bytes) -> Answer:
        """A whole answer (status 200). ProviderFault: "malformed" when it is none, "error_event" when it is an
        error."""

    def fault(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFault:
        """What an answer with any status but 200 means. `body` may be cut."""

    def stream(self) -> StreamReader:
        """A reader for one stream."""
