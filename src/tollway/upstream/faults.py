"""What a provider's error answer means, and what of its words may be repeated: OpenAI's error shape and its relatives.

Only a refusal that is about the request itself (400, 413, 422) is ever shown to a caller, cut and redacted. Everything
else here is for the operator, and goes through the same redaction. What is tried next is not decided here.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tollway.domain.answer import Outcome
from tollway.domain.errors import ProviderFault
from tollway.upstream.headers import retry_after_ms
from tollway.wire import json

REASON_BYTES_MAX = 1024  # CONTRACT: a provider's reason is passed on, cut to 1 KB
DETAIL_CHARS_MAX = 300  # one line of a log
SCAN_CHARS_MAX = 4 << 10  # of a message: what is looked at for secrets before it is cut

REDACTED = "[redacted]"

CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
CONTENT_FILTERED = "content_filtered"

_OUTCOMES: dict[int, Outcome] = {
    400: "rejected",
    401: "refused_by_provider",
    402: "refused_by_provider",
    403: "refused_by_provider",
    404: "refused_by_provider",
    413: "rejected",
    422: "rejected",
    429: "rate_limited",
    503: "overloaded",
    529: "overloaded",  # Anthropic's, used by others too
}

# OpenAI answers an unpaid bill with 429. Waiting doesn't help: it is a 402, the operator's problem.
_UNPAID_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})

# `code` or `type` of the error object: OpenAI, Azure, OpenRouter, llama.cpp.
_KNOWN_CODES = {
    "context_length_exceeded": CONTEXT_LENGTH_EXCEEDED,
    "exceed_context_size_error": CONTEXT_LENGTH_EXCEEDED,
    "content_filter": CONTENT_FILTERED,
    "content_filtered": CONTENT_FILTERED,
    "content_policy_violation": CONTENT_FILTERED,
    "responsibleaipolicyviolation": CONTENT_FILTERED,
}

_KNOWN_MESSAGES = (
    (
        CONTEXT_LENGTH_EXCEEDED,
        re.compile(
            r"maximum context length"  # OpenAI, Azure, vLLM, OpenRouter, Mistral
            r"|longer than the maximum model length"  # vLLM
            r"|exceeds? the (?:available |model'?s? )?(?:maximum )?context"  # llama.cpp
            r"|context (?:size|length|window) (?:has been |was |is )?exceeded"
            r"|prompt is too long"  # Anthropic
            r"|input token count .{0,40}exceeds the maximum"  # Gemini
            r"|tokens \+ `max_new_tokens` must be"  # Text Generation Inference
            r"|reduce the length of (?:the|your) (?:messages|prompt|input)",  # OpenAI, Groq
            re.IGNORECASE,
        ),
    ),
    (
        CONTENT_FILTERED,
        re.compile(
            r"content management policy|content filtering policies"  # Azure
            r"|flagged as potentially violating"  # OpenAI's reasoning models
            r"|rejected as a result of our safety system"  # OpenAI
            r"|content[_ ]policy[_ ]violation",
            re.IGNORECASE,
        ),
    ),
)

_OWN_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}\Z")

# Linear in the text: a repetition that may fail at its end is bounded.
_SECRETS = re.compile(
    r"\bbearer\s+[^\s\"'<>(){},;]+"
    r"|\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}"  # a JWT
    r"|\b(?:sk|pk|rk|gsk|xai|hf|nvapi|key|csk|fw|tgp|r8|pplx|esecret|AIza|AKIA)[-_]?(?=[\w*-]{0,64}[\d*])[\w*-]{12,}"
    r"|\bsk-[\w*.-]{3,}"  # OpenAI's, masked or short
    r"|\b(?:org|proj)[-_](?=\w*\d)\w{4,}|\b(?:org|proj)[-_]\w{16,}"
    r"|\b[a-z][a-z0-9+.-]{1,15}://[^\s\"'<>(){},;]+"
    r"|\[(?=[0-9a-f.]{0,15}:[0-9a-f.]{0,15}:)[0-9a-f:.]{2,45}\](?::\d+)?"  # IPv6 in brackets
    r"|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
    r"|\blocalhost\b(?::\d+)?"
    r"|\b(?:[a-z0-9_-]{1,63}\.){1,8}(?:com|net|org|io|ai|dev|cloud|app|co|us|eu|uk|de|fr|cn|jp|xyz|tech|run|internal"
    r"|intranet|local|lan|corp|home|svc|arpa)\b(?::\d+)?(?:/[^\s\"'<>(){},;]*)?"
    r"|\b(?=[a-z_-]{0,64}\d)(?=[0-9_-]{0,64}[a-z])[0-9a-z_-]{40,}",  # any long opaque token
    re.IGNORECASE,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets`, nor anything that looks like an API key, a bearer token, a URL, a host, an address or
    an organisation's id."""
    secrets = tuple(secrets)
    margin = max(map(len, secrets), default=0)  # where one may stand that the end of what is looked at would cut
    longer = len(text) > SCAN_CHARS_MAX + margin
    text = text[: SCAN_CHARS_MAX + margin]
    for secret in secrets:
        text = re.sub(re.escape(secret), REDACTED, text, flags=re.IGNORECASE)
    text = text[: len(text) - margin] if longer else text
    return _SECRETS.sub(REDACTED, text)


def answer_fault(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[str], now_ms: int
) -> ProviderFault:
    """The fault that an answer with any status but 200 stands for. `now_ms` (Unix time) dates a Retry-After."""
    error = _error_object(body)
    message = _message(error)
    code = _code(error, message, secrets)
    outcome = _OUTCOMES.get(status, "server_error" if 500 <= status <= 599 else "malformed")
    if status == 429 and code in _UNPAID_CODES:
        outcome = "refused_by_provider"
    told = redact(message, secrets)
    return ProviderFault(
        outcome,
        f"status {status}: {_detail(told or redact(body.decode(errors='replace'), secrets))}",
        status=status,
        retry_after_ms=retry_after_ms(headers, now_ms) if outcome in ("rate_limited", "overloaded") else None,
        reason=(cut(told, REASON_BYTES_MAX) or None) if outcome == "rejected" else None,
        code=code,
    )


def event_fault(error: Any, secrets: Iterable[str]) -> ProviderFault:
    """The fault that an `error` member stands for which came with status 200, as a stream's event or a whole answer."""
    fields: dict[Any, Any] = error if isinstance(error, dict) else {"message": error}
    message = _message(fields)
    status = next((number for key in ("status", "code", "status_code") if (number := _status(fields.get(key)))), None)
    told = redact(message or "an error without a message", secrets)
    return ProviderFault("error_event", _detail(told), status=status, code=_code(fields, message, secrets))


def cut(text: str, bytes_max: int) -> str:
    """The start of `text` that fits in `bytes_max` bytes of UTF-8, whole characters only."""
    return text.encode(errors="replace")[:bytes_max].decode(errors="ignore")


def _detail(text: str) -> str:
    return " ".join(text[: 4 * DETAIL_CHARS_MAX].split())[:DETAIL_CHARS_MAX] or "no message"


def _error_object(body: bytes) -> dict[Any, Any]:
    """The error object of `body`, wherever this provider puts it; empty when there is none."""
    try:
        value = json.decode(body)
    except ValueError:
        return {}
    if isinstance(value, list):  # Gemini wraps it
        value = value[0] if value else None
    if not isinstance(value, dict):
        return {}
    error = value.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {"message": error, **{key: value[key] for key in ("code", "type") if key in value}}
    return value  # vLLM of old, FastAPI


def _message(error: dict[Any, Any]) -> str:
    for key in ("message", "msg", "detail", "error"):
        value = error.get(key)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, list):  # FastAPI: [{"loc": [...], "msg": "..."}]
            return "; ".join(_message(item) for item in value[:8] if isinstance(item, dict))
    return ""


def _code(error: dict[Any, Any], message: str, secrets: Iterable[str]) -> str | None:
    """Ours for what callers act on, else the provider's own when it looks like one."""
    inner = error.get("innererror")  # Azure
    said = [error.get("code"), error.get("type"), inner.get("code") if isinstance(inner, dict) else None]
    words = [word for word in said if isinstance(word, str)]
    for word in words:
        if (known := _KNOWN_CODES.get(word.lower())) is not None:
            return known
    for known, pattern in _KNOWN_MESSAGES:
        if pattern.search(message[:SCAN_CHARS_MAX]):
            return known
    own = words[0] if words else ""
    return own if _OWN_CODE.match(own) and redact(own, secrets) == own else None


def _status(value: Any) -> int | None:
    """`value` as an HTTP error status, when it is one: a number, or digits in a string."""
    if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value, re.ASCII):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599:
        return value
    return None
