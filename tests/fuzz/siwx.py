"""Target: a sign-in, as a header's value, as the JSON in it, and as the text that was signed.

Nothing but the named errors comes out; another reading of the same grammar agrees; what is rebuilt from fields says
what the fields say; and however an envelope is spelled, it is the same sign-in, so that revoking one revokes all.
"""

import base64
import json
import re
from typing import Any

from tollway.auth.envelope import HEADER_BYTES_MAX, Envelope, open_envelope
from tollway.auth.message import SignInMessage, parse_message
from tollway.domain.errors import SignInError

# The text as the field's standards have it (CAIP-122, EIP-4361), in the shapes that are accepted.
GRAMMAR = re.compile(
    r"(?P<domain>[!-~]+) wants you to sign in with your (?P<kind>Solana|Ethereum) account:\n"
    r"(?P<address>[^\n]+)\n\n"
    r"(?:\n|(?!URI: )(?P<statement>[^\n]+)\n\n)?"
    r"URI: (?P<uri>[^\n]+)\nVersion: 1\nChain ID: (?P<chain>[^\n]+)"
    r"(?:\nNonce: (?P<nonce>[A-Za-z0-9]{8,128}))?"
    r"(?:\nIssued At: (?P<issued>[^\n]+))?"
    r"(?:\nExpiration Time: (?P<expires>[^\n]+))?"
    r"(?:\nNot Before: (?P<starts>[^\n]+))?"
    r"(?:\nRequest ID: (?P<request>[^\n]*))?"
    r"(?P<resources>\nResources:(?:\n- [^\n]+)*)?\Z"
)
FIELDS = {"domain": "domain", "uri": "uri", "nonce": "nonce", "requestId": "request_id"}


def check(data: bytes) -> None:
    """The first byte says which of the three."""
    kind, rest = data[:1], data[1:]
    if kind in (b"h", b""):
        _header(rest)
    elif kind == b"j":
        _json(rest)
    else:
        _text(rest.decode("utf-8", "replace"))


def _header(value: bytes) -> None:
    try:
        envelope = open_envelope(value, "header")
    except SignInError as error:
        _refused(error, value.decode("latin-1"))
        return
    assert len(value) <= HEADER_BYTES_MAX
    for other in (value.rstrip(b"="), value.replace(b"+", b"-").replace(b"/", b"_"), value.rstrip(b"=") + b"=="):
        assert open_envelope(other, "header") == envelope, "in another spelling it is another sign-in"
    _signed(envelope)


def _json(content: bytes) -> None:
    value = base64.b64encode(content)
    if len(value) > HEADER_BYTES_MAX:
        return
    try:
        envelope = open_envelope(value, "header")
    except SignInError as error:
        _refused(error, content.decode("latin-1"))
        return
    assert open_envelope(base64.urlsafe_b64encode(content).rstrip(b"="), "header") == envelope
    message = _signed(envelope)
    if envelope.kind == "fields" and message is not None:
        _says_what_its_fields_say(json.loads(content), message)


def _signed(envelope: Envelope) -> SignInMessage | None:
    assert "\r" not in envelope.text or envelope.kind == "text"
    try:
        envelope.text.encode()
    except UnicodeEncodeError:
        raise AssertionError("a text that can't have been signed") from None
    return _text(envelope.text)


def _text(text: str) -> SignInMessage | None:
    try:
        message = parse_message(text)
    except SignInError as error:
        _refused(error, text)
        return None
    read = GRAMMAR.match(text)
    assert read is not None, "another reader of the grammar refuses it"
    said = read.groupdict()
    assert (message.domain, message.statement, message.uri) == (said["domain"], said["statement"], said["uri"])
    assert (message.nonce, message.request_id) == (said["nonce"], said["request"])
    assert message.resources == tuple(line[2:] for line in (said["resources"] or "").split("\n")[2:])
    assert message.chain.startswith(f"{message.namespace}:") and message.chain.endswith(said["chain"])
    assert message.namespace == {"Solana": "solana", "Ethereum": "eip155"}[said["kind"]]
    assert message.address.lower() == said["address"].lower()
    times = (message.issued_at_ms, message.expires_ms, message.not_before_ms)
    assert [time is None for time in times] == [said[name] is None for name in ("issued", "expires", "starts")]
    assert parse_message(_rewritten(message)) == message, "written anew it says something else"
    return message


def _rewritten(message: SignInMessage) -> str:
    """The same in its plainest form."""
    kind = {"solana": "Solana", "eip155": "Ethereum"}[message.namespace]
    lines = [f"{message.domain} wants you to sign in with your {kind} account:", message.address, ""]
    if message.statement is not None:
        lines += [message.statement, ""]
    lines += [f"URI: {message.uri}", "Version: 1", f"Chain ID: {message.chain}"]
    if message.nonce is not None:
        lines.append(f"Nonce: {message.nonce}")
    times = (
        ("Issued At", message.issued_at_ms),
        ("Expiration Time", message.expires_ms),
        ("Not Before", message.not_before_ms),
    )
    lines += [f"{name}: {_rfc3339(time)}" for name, time in times if time is not None]
    if message.request_id is not None:
        lines.append(f"Request ID: {message.request_id}")
    if message.resources:
        lines += ["Resources:", *(f"- {resource}" for resource in message.resources)]
    return "\n".join(lines)


def _rfc3339(time_ms: int) -> str:
    """Proleptic, by arithmetic alone; the first and the last day of the calendar by an offset from the next."""
    offset, sign = 0, "+"
    if time_ms < -62_135_596_800_000:
        offset, sign = 86_399, "+"
    elif time_ms >= 253_402_300_800_000:
        offset, sign = 86_399, "-"
    hours, minutes = offset // 3600, offset % 3600 // 60
    shifted = time_ms + (hours * 3600 + minutes * 60) * 1000 * (1 if sign == "+" else -1)
    days, ms = divmod(shifted, 86_400_000)
    year, month, day = _civil(days)
    hour, rest = divmod(ms, 3_600_000)
    minute, rest = divmod(rest, 60_000)
    second, fraction = divmod(rest, 1000)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}{sign}{hours:02}:{minutes:02}"


def _civil(days: int) -> tuple[int, int, int]:
    """Days since 1970-01-01 as a date of the Gregorian calendar (Hinnant's algorithm)."""
    era, of_era = divmod(days + 719_468, 146_097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return year_of_era + era * 400 + (month <= 2), month, day


def _says_what_its_fields_say(content: Any, message: SignInMessage) -> None:
    """No field can say more than itself: not another line, nor another field's value."""
    for name, attribute in FIELDS.items():
        given, read = content.get(name), getattr(message, attribute)
        assert read == given or (name == "requestId" and not given and not read), f"{name} is read as something else"
    assert message.statement == (content.get("statement") or None)
    assert message.resources == tuple(content.get("resources") or ())
    assert message.chain == content["chainId"]
    assert message.address.lower() == content["address"].lower()


def _refused(error: SignInError, given: str) -> None:
    assert error.status == 401
    assert error.message
    signature = re.search(r'"signature"\s*:\s*"([^"\\]{32,})"', given)
    assert signature is None or signature[1] not in error.message, "an error shows a signature"
