"""Headers to and from a provider, by allow-list: nothing of a caller's request is ever copied into one of ours.

This module knows HTTP's header rules; which provider it is and what it answered in the body are not its affair.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from tollway import __version__

Headers = tuple[tuple[str, str], ...]

USER_AGENT = f"tollway/{__version__}"

RETRY_AFTER_MS_MAX = 24 * 3600 * 1000  # a provider that says more is taken to mean a day

# RFC 9110, 5.1 and 5.5: a token; visible characters with spaces and tabs between them.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+\Z")
_VALUE = re.compile(r"[!-~](?:[\t -~]*[!-~])?\Z")

# They frame the message, or belong to the connection, or say what we can read: nobody else sets them.
_TRANSPORT_OWN = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def check_header(name: str, value: str) -> None:
    """Raises ValueError, without the value, for a header that an operator may not set on a provider's requests."""
    if not _NAME.match(name):
        raise ValueError(f"header {name!r} is no header name in lower case")
    if name in _TRANSPORT_OWN:
        raise ValueError(f"header {name!r} is set by the router alone")
    if not _VALUE.match(value):
        raise ValueError(f"the value of header {name!r} has characters that a header can't carry, or is empty")


def json_headers(credentials: Headers, extra: Headers) -> Headers:
    """All headers of a request that carries JSON; one of `extra` replaces ours of the same name."""
    headers = {
        "content-type": "application/json",
        "accept": "application/json",  # as OpenAI's own SDKs send it, for streams too
        "accept-encoding": "identity",  # bodies are relayed as they come
        "user-agent": USER_AGENT,
    }
    return tuple((headers | dict(credentials) | dict(extra)).items())


_CODINGS = frozenset({"br", "compress", "deflate", "gzip", "x-gzip", "zstd"})  # IANA's, that are in use


def content_coding(headers: Mapping[str, str]) -> str | None:
    """How an answer's body is packed (gzip, br ...), although we ask every provider not to; None when it isn't."""
    if "content-encoding" not in headers:
        return None
    coding = headers["content-encoding"].strip().lower()
    if coding in ("", "identity"):
        return None
    return coding if coding in _CODINGS else "something unknown"  # their words don't go on: they may be our key


def retry_after_ms(headers: Mapping[str, str], now_ms: int) -> int | None:
    """How long a provider asks to be left alone, in milliseconds; None when it doesn't say so legibly.

    `retry-after-ms` beats `retry-after` (seconds, or an HTTP date: RFC 9110, 10.2.3). A date is taken against the
    answer's own `date`, so that the two clocks may differ; without one against `now_ms` (Unix time)."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is None and (seconds := _number(headers.get("retry-after"))) is not None:
        milliseconds = seconds * 1000
    if milliseconds is None and (then := _date_ms(headers.get("retry-after"))) is not None:
        date = _date_ms(headers.get("date"))
        milliseconds = then - (now_ms if date is None else date)
    if milliseconds is None:
        return None
    return int(min(max(milliseconds, 0), RETRY_AFTER_MS_MAX))


_DECIMAL = re.compile(r"\d{1,15}(?:\.\d{1,15})?\Z", re.ASCII)


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    text = text.strip(" \t")  # no more than that: float can't read what str takes for blank
    return float(text) if _DECIMAL.match(text) else None


def _date_ms(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parsedate_to_datetime(text).timestamp() * 1000
    except (ValueError, OverflowError):
        return None
