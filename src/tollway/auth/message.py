"""The signed text (CAIP-122, EIP-4361) read line by line into a SignInMessage. Pure: no time, no keys, no settings.

Deployed clients write it in several shapes, all of which are read: with or without a statement (two blank lines where
EIP-4361 leaves it out, one where others do), without nonce and issue time, the chain id whole or as its bare
reference. Beyond that the reading is strict: any other line, order, repetition or control character is refused.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from tollway.domain.errors import InvalidSignIn, UnsupportedChain
from tollway.wire import chains

NONCE_CHARACTERS_MAX = 128  # a used nonce is kept as text; EIP-4361 names no maximum

_ACCOUNT_NAMES: dict[str, chains.Namespace] = {"Solana": "solana", "Ethereum": "eip155"}
_OPENING = re.compile(r"([!-~]+) wants you to sign in with your ([A-Za-z0-9 ]{1,32}) account:\Z")
# What could make one line look like another to a reader: C0 and C1 controls, DEL, Unicode's own line ends.
_CONTROL = re.compile("[\0-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_NONCE = re.compile(r"[A-Za-z0-9]{8,}\Z")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+\Z")
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))\Z"
)
_FIELDS = (
    ("URI", True),
    ("Version", True),
    ("Chain ID", True),
    ("Nonce", False),
    ("Issued At", False),
    ("Expiration Time", False),
    ("Not Before", False),
    ("Request ID", False),
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class SignInMessage(msgspec.Struct, frozen=True, kw_only=True):
    """What a wallet signed. Times are Unix milliseconds."""

    domain: str  # host[:port]
    namespace: chains.Namespace
    address: str  # canonical: base58, or EIP-55
    statement: str | None
    uri: str
    chain: str  # CAIP-2, however it was spelled
    nonce: str | None
    issued_at_ms: int | None
    expires_ms: int | None
    not_before_ms: int | None
    request_id: str | None
    resources: tuple[str, ...]


def parse_message(text: str) -> SignInMessage:
    """Raises InvalidSignIn (what is wrong, and on which line) or UnsupportedChain (no account of ours)."""
    if _CONTROL.search(text):
        raise _malformed("it has a control character")
    lines = text.split("\n")
    domain, namespace = _read_opening(lines[0])
    try:
        address = chains.parse_address(lines[1] if len(lines) > 1 else "", namespace)
    except ValueError as error:
        raise _malformed(f"line 2: {error}") from None
    statement, position = _read_statement(lines)
    fields, position = _read_fields(lines, position)
    resources = _read_resources(lines, position)
    if fields["Version"] != "1":
        raise _malformed("Version must be 1")
    if not _URI.match(fields["URI"]):
        raise _malformed("URI must be an absolute URI such as https://router.example.com/v1")
    nonce = fields.get("Nonce")
    if nonce is not None and (len(nonce) > NONCE_CHARACTERS_MAX or not _NONCE.match(nonce)):
        raise _malformed(f"Nonce must be 8 to {NONCE_CHARACTERS_MAX} letters and digits")
    try:
        chain = chains.parse_chain(fields["Chain ID"], namespace)
    except ValueError as error:
        raise _malformed(f"Chain ID: {error}") from None
    return SignInMessage(
        domain=domain,
        namespace=namespace,
        address=address,
        statement=statement,
        uri=fields["URI"],
        chain=chain,
        nonce=nonce,
        issued_at_ms=_read_time(fields, "Issued At"),
        expires_ms=_read_time(fields, "Expiration Time"),
        not_before_ms=_read_time(fields, "Not Before"),
        request_id=fields.get("Request ID"),
        resources=resources,
    )


def _malformed(detail: str) -> InvalidSignIn:
    return InvalidSignIn(f"The signed message is no CAIP-122 sign-in: {detail}.")


def _read_opening(line: str) -> tuple[str, chains.Namespace]:
    match = _OPENING.match(line)
    if match is None:
        raise _malformed("line 1 must be '<domain> wants you to sign in with your <Solana or Ethereum> account:'")
    namespace = _ACCOUNT_NAMES.get(match[2])
    if namespace is None:
        raise UnsupportedChain("The message is for an account of another kind: sign in with Solana or Ethereum.")
    return match[1], namespace


def _read_statement(lines: Sequence[str]) -> tuple[str | None, int]:
    """The statement, and the index of the line the fields start at. Line 3 is blank; what follows is the fields, a
    second blank line (EIP-4361 without a statement), or a statement and a blank line."""
    third, fourth, fifth = (lines[index] if index < len(lines) else None for index in (2, 3, 4))
    if third != "":
        raise _malformed("line 3 must be blank")
    if fourth == "":
        return None, 4
    if fourth is None or fourth.startswith("URI: "):
        return None, 3
    if fifth != "":
        raise _malformed("a statement is one line with a blank line after it")
    return fourth, 5


def _read_fields(lines: Sequence[str], position: int) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    for name, required in _FIELDS:
        prefix = f"{name}: "
        if position < len(lines) and lines[position].startswith(prefix):
            fields[name] = lines[position][len(prefix) :]
            position += 1
        elif required:
            raise _malformed(f"line {position + 1} must be '{prefix}...'")
    return fields, position


def _read_resources(lines: Sequence[str], position: int) -> tuple[str, ...]:
    if position == len(lines):
        return ()
    if lines[position] != "Resources:":
        raise _malformed(f"line {position + 1} is unknown, repeated or out of order")
    for index in range(position + 1, len(lines)):
        if not lines[index].startswith("- ") or not _URI.match(lines[index][2:]):
            raise _malformed(f"line {index + 1} must be a resource, '- <URI>'")
    return tuple(line[2:] for line in lines[position + 1 :])


def _read_time(fields: dict[str, str], name: str) -> int | None:
    """RFC 3339 with any fraction and offset, in Unix milliseconds, rounded down."""
    text = fields.get(name)
    if text is None:
        return None
    match = _TIME.match(text)
    try:
        moment = datetime(*map(int, match.groups()[:6]), tzinfo=UTC) if match else None  # type: ignore[arg-type,misc]
    except ValueError:
        moment = None
    if match is None or moment is None:
        raise _malformed(f"{name} must be an RFC 3339 time such as 2026-01-01T00:00:00Z")
    fraction, sign, hours, minutes = match.groups()[6:]
    offset_s = (int(hours) * 3600 + int(minutes) * 60) * (-1 if sign == "-" else 1) if sign else 0
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds - offset_s) * 1000 + int((fraction or "").ljust(3, "0")[:3])
