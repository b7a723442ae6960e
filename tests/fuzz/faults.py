"""Target: what a provider says of an error, as a whole answer and as an event of a stream (upstream/faults.py).

It is a fault whatever it says; our key and what is like one is in none of its words, however they are cut; and what is
passed on is short.
"""

from tollway.domain.errors import ProviderFault
from tollway.upstream.faults import REASON_BYTES_MAX, answer_fault, event_fault, redact
from tollway.upstream.headers import RETRY_AFTER_MS_MAX
from tollway.wire import json

KEY = "Our-Odd_Key.7"
SPOKEN = (b"@", KEY.encode())  # one byte of an input is our key
DETAIL_CHARS_MAX = 400
NOW_MS = 1_767_225_600_000


def check(data: bytes) -> None:
    """The first byte says the status, the second how long a Retry-After is that stands before the body, and the third
    how often the body is said."""
    status = 300 + (data[0] if data else 0)
    length, times = (data[1] % 32 if len(data) > 1 else 0), (data[2] % 8 if len(data) > 2 else 0)
    told, body = data[3 : 3 + length], data[3 + length :].replace(*SPOKEN) * (1 + times)
    headers = {"retry-after": told.decode("latin-1").replace("@", KEY), "date": "Thu, 01 Jan 2026 00:00:00 GMT"}
    fault = answer_fault(status, headers, body, (KEY,), NOW_MS)
    _shows_nothing(fault)
    assert fault.status == status
    wait = fault.retry_after_ms
    assert wait is None or (0 <= wait <= RETRY_AFTER_MS_MAX and fault.outcome in ("rate_limited", "overloaded"))
    assert fault.reason is None or fault.outcome == "rejected"
    try:
        error = json.decode(body)
    except ValueError:
        error = body.decode(errors="replace")
    event = event_fault(error, (KEY,))
    _shows_nothing(event)
    assert event.outcome == "error_event"
    once = redact(body.decode(errors="replace"), (KEY,))
    assert KEY.lower() not in once.lower()


def _shows_nothing(fault: ProviderFault) -> None:
    words = f"{fault.detail}\n{fault.reason}\n{fault}".lower()
    assert KEY.lower() not in words, "our key is told"
    assert len(fault.detail) <= DETAIL_CHARS_MAX
    assert "\n" not in fault.detail, "a log line of two lines"
    assert fault.reason is None or len(fault.reason.encode()) <= REASON_BYTES_MAX
    assert fault.code is None or KEY.lower() not in fault.code.lower(), "our key is told as a code"
