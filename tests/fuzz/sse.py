"""Target: a provider's event stream, through the codec (wire/sse.py) and the dialect's reader of chunks.

However it is cut into reads it says the same; what is relayed is clean; no token is lost; what is held is bounded; and
nothing but a ProviderFault comes out of it.
"""

from typing import Any

from fuzz import cuts, events
from tollway.domain.answer import StreamEvent
from tollway.domain.errors import ProviderFault
from tollway.upstream.dialects.openai_openai import TORN_BYTES_MAX, ChunkReader
from tollway.wire.sse import EventTooLarge, SseDecoder, encode_event

SMALL_BYTES = 48  # an event that is too large has to be short enough to be found
BYTEWISE_MAX = 160  # of a longer stream every place is not tried


def check(data: bytes) -> None:
    stream, pieces = cuts.split(data)
    ways = [pieces, list(cuts.bytewise(stream))] if len(stream) <= BYTEWISE_MAX else [pieces]
    _codec(stream, ways)
    _small_codec(stream, ways)
    _reader(stream, ways)


# --- the codec


def _decoded(reads: list[bytes], limit: int | None = None) -> tuple[list[bytes], bytes | None, bool]:
    """Payloads, the one left open, and whether it was too much."""
    decoder = SseDecoder() if limit is None else SseDecoder(event_bytes_max=limit)
    payloads: list[bytes] = []
    try:
        for read in reads:
            payloads += decoder.feed(read)
            held = sum(map(len, decoder._line)) + sum(map(len, decoder._data))
            assert limit is None or held <= 2 * limit, "more is held than an event may have"
        return payloads, decoder.end(), False
    except EventTooLarge:
        return payloads, None, True


def _codec(stream: bytes, ways: list[list[bytes]]) -> None:
    expected = events.read(stream)
    for reads in ([stream], *ways):
        payloads, left, too_large = _decoded(reads)
        assert not too_large
        assert (payloads, left) == expected, "another reader of the standard finds other events"
    for payload in expected.payloads:
        again = encode_event(payload)
        assert events.read(again) == ([payload], None), "what is written is not what is read"


def _small_codec(stream: bytes, ways: list[list[bytes]]) -> None:
    whole = _decoded([stream], SMALL_BYTES)
    for reads in ways:
        assert _decoded(reads, SMALL_BYTES) == whole, "how it is cut decides what is too large"


# --- the dialect


class _Summary:
    """What came of a stream: all that is relayed, and all that is acted on."""

    def __init__(self, reads: list[bytes]) -> None:
        reader = ChunkReader(("secret-key",))
        found: list[StreamEvent] = []
        self.outcome: str | None = None
        try:
            for read in reads:
                if text_bytes := reader.text_bytes_of(read):
                    found.append(StreamEvent(data=read, tokens=True, text_bytes=text_bytes))
                else:
                    found += reader.feed(read)
                assert len(reader._torn) <= TORN_BYTES_MAX
            found += reader.end()
        except ProviderFault as fault:
            self.outcome = fault.outcome
            assert "secret-key" not in fault.detail
        self.relayed = b"".join(event.data for event in found)
        self.usage = [event.usage for event in found if event.usage is not None]
        self.finished = [event.finished for event in found if event.finished]
        self.text_bytes = sum(event.text_bytes for event in found)
        self.parts = sum(event.other_parts for event in found)
        self.reasoning = any(event.reasoning for event in found)
        self.tokens = any(event.tokens for event in found)
        self.done = reader.done
        self.ids = [event.response_id for event in found if event.response_id][:1]


def _reader(stream: bytes, ways: list[list[bytes]]) -> None:
    whole = _Summary([stream])
    event_by_event = [data + b"\n\n" for data in stream.split(b"\n\n")]
    event_by_event[-1] = event_by_event[-1][:-2]
    for reads in [*ways, event_by_event]:
        assert vars(_Summary(reads)) == vars(whole), "how it is cut decides what is read"
    relayed = events.read(whole.relayed)
    assert relayed.open is None
    assert whole.relayed == b"".join(b"data: " + payload + b"\n\n" for payload in relayed.payloads), "not clean"
    told = events.objects(relayed.payloads)
    assert len(told) == len(relayed.payloads), "something is relayed that is no JSON object"
    for chunk in told:
        assert "tollway" not in chunk
        assert chunk.get("usage") is None
    if whole.outcome is None:
        _nothing_lost(stream, told)


def _nothing_lost(stream: bytes, told: list[dict[str, Any]]) -> None:
    """All that came is relayed, but for our own names, and chunks of usage alone."""
    came = events.read(stream)
    payloads = came.payloads if came.open is None else [*came.payloads, came.open]
    expected = []
    for chunk in events.objects(payloads):
        usage = chunk.get("usage")
        if usage is not None:
            del chunk["usage"]
            if not chunk.get("choices"):
                continue
        chunk.pop("tollway", None)
        expected.append(chunk)
    assert told == expected, "something is lost, or added"
