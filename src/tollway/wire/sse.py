"""Server-sent events, bytes in, payloads out: any legal stream, however it is cut into reads.

This module knows the event stream format (HTML standard, 9.2.6) and nothing of what the payloads mean.
"""

# An event is held in memory until its blank line comes. A token is a few hundred bytes; the largest legitimate event
# is an image or a piece of audio that a model put out, base64 encoded.
EVENT_BYTES_MAX = 1 << 20

BOM = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """An event, or one line of it, is over the limit: the stream can't be read on."""


class SseDecoder:
    """Feed it the bytes of an event stream as they come; every `feed` gives the payloads of the events they completed.

    A payload is the event's `data` lines joined with a line feed. Comments and `event`, `id` and `retry` lines are
    dropped; an event without a `data` line is none. Lines end with CR LF, LF or CR, and an event ends as soon as its
    blank line does: a CR isn't held back for the LF that may follow it.
    """

    __slots__ = ("_after_cr", "_data", "_data_size", "_line", "_line_size", "_max", "at_start", "failed")

    def __init__(self, event_bytes_max: int = EVENT_BYTES_MAX) -> None:
        self._max = event_bytes_max
        self._line: list[bytes] = []  # pieces of the line that has not ended
        self._line_size = 0
        self._data: list[bytes] = []  # data lines of the event that has not ended
        self._data_size = 0
        self._after_cr = False  # a LF that comes now belongs to the CR before it
        self.failed = False  # an event was too large: the next call raises
        self.at_start = True  # a BOM may come; whoever hands over in mid-stream clears it

    @property
    def idle(self) -> bool:
        """Between two events, with nothing held: the next byte begins a line of a new event."""
        return not (self._line or self._data or self._after_cr)

    def feed(self, data: bytes) -> list[bytes]:
        """Payloads of the events that `data` completed, in order.

        Raises EventTooLarge. Events completed before the large one are returned first; the next call raises."""
        if self.failed:
            raise self._too_large()
        if self.at_start:
            data = self._without_bom(data)
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        events: list[bytes] = []
        try:
            for line in data.splitlines(keepends=True):
                content = line.rstrip(b"\r\n")
                self._hold(content)
                if len(content) < len(line):
                    self._end_line(events)
        except EventTooLarge:
            if not events:
                raise
        self._after_cr = self._after_cr or data.endswith(b"\r")
        return events

    def end(self) -> bytes | None:
        """The stream is over: the payload of the event that was left open, its last line perhaps cut; None without one.

        A browser discards it; whoever knows what a payload must look like can tell whether it is whole."""
        if self.failed:
            raise self._too_large()
        events: list[bytes] = []
        self._end_line(events)
        self._end_event(events)
        return events[0] if events else None

    def _without_bom(self, data: bytes) -> bytes:
        data = b"".join(self._line) + data
        self._line, self._line_size = [], 0
        if len(data) < len(BOM) and BOM.startswith(data):
            self._hold(data)
            return b""
        self.at_start = False
        return data.removeprefix(BOM)

    def _hold(self, piece: bytes) -> None:
        self._line_size += len(piece)
        if self._line_size > self._max:
            raise self._too_large()
        if piece:
            self._line.append(piece)

    def _end_line(self, events: list[bytes]) -> None:
        line = b"".join(self._line)
        self._line, self._line_size = [], 0
        if not line:
            self._end_event(events)
            return
        field, _, value = line.partition(b":")
        if field != b"data":
            return
        value = value.removeprefix(b" ")
        self._data_size += len(value) + 1
        if self._data_size > self._max:
            raise self._too_large()
        self._data.append(value)

    def _end_event(self, events: list[bytes]) -> None:
        if self._data:
            events.append(b"\n".join(self._data))
            self._data, self._data_size = [], 0

    def _too_large(self) -> EventTooLarge:
        self.failed = True
        return EventTooLarge(f"an event of the stream is over {self._max} bytes")


def encode_event(data: bytes) -> bytes:
    """One event whose payload is `data`: a `data` line for each of its lines, and the blank line."""
    if b"\n" in data or b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    return b"data: " + data + b"\n\n"
