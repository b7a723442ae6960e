"""What the header carries, opened: the signed text and its signature. Pure: judges neither of them.

Two envelopes travel as base64 JSON under one header name: the text form `{"message", "signature"}`, and the fields
form of x402's sign-in-with-x extension, from which the text that was signed is rebuilt (EIP-4361 with a bare chain
number for EVM; CAIP-122 with the bare reference for Solana).
"""

import binascii
import re
from typing import Literal

import msgspec

from tollway.domain.errors import InvalidSignIn, UnsupportedChain
from tollway.wire import chains, json

# A sign-in of either form is well under 2 KiB; everything in it is read before any signature is checked.
HEADER_BYTES_MAX = 8 * 1024

_BASE64 = re.compile(rb"[A-Za-z0-9+/]+\Z")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_LINE_BREAKING = re.compile("[\0-\x1f\x7f]")
_KINDS: dict[str, tuple[str, str]] = {"eip155": ("Ethereum", "eip191"), "solana": ("Solana", "ed25519")}

HOW = 'Send Sign-In-With-X: base64({"message": <CAIP-122 text>, "signature": <text>}).'


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """`text` is exactly what was signed, as UTF-8; `kind` the form it came in."""

    text: str
    signature: str
    kind: Literal["text", "fields"]


class _Content(msgspec.Struct, rename="camel"):
    """Both forms at once: one decoding, so that a repeated key can't mean two things. Other members are ignored."""

    signature: str | None = None
    message: str | None = None
    domain: str | None = None
    address: str | None = None
    statement: str | None = None
    uri: str | None = None
    version: str | None = None
    chain_id: str | None = None
    type: str | None = None
    nonce: str | None = None
    issued_at: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: list[str] | None = None


def open_envelope(value: bytes, carrier: str) -> Envelope:
    """The envelope in a header value; `carrier` names the header in messages. Raises InvalidSignIn or
    UnsupportedChain."""
    content = _decode(value, carrier)
    if content.signature is None:
        raise InvalidSignIn(f"The {carrier} has no 'signature'. {HOW}")
    if content.message is not None:
        return Envelope(text=content.message, signature=content.signature, kind="text")
    return Envelope(text=_rebuild(content), signature=content.signature, kind="fields")


def _decode(value: bytes, carrier: str) -> _Content:
    """Standard or URL-safe alphabet, padded or not."""
    if len(value) > HEADER_BYTES_MAX:
        raise InvalidSignIn(f"The {carrier} is longer than {HEADER_BYTES_MAX} bytes. {HOW}")
    digits = value.rstrip(b"=").translate(_URL_SAFE)
    if not _BASE64.match(digits) or len(digits) % 4 == 1:
        raise InvalidSignIn(f"The {carrier} is not base64. {HOW}")
    data = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))
    try:
        return json.decode_as(data, _Content)
    except json.ValidationError as error:
        raise InvalidSignIn(f"The {carrier}'s JSON is of the wrong shape: {error}. {HOW}") from None
    except (json.DecodeError, UnicodeDecodeError):
        raise InvalidSignIn(f"The {carrier} is not base64 of JSON. {HOW}") from None


def _rebuild(content: _Content) -> str:
    """The text that a wallet signed for these fields, as x402's clients build it."""
    required = {
        "domain": content.domain,
        "address": content.address,
        "uri": content.uri,
        "version": content.version,
        "chainId": content.chain_id,
        "type": content.type,
        "nonce": content.nonce,
        "issuedAt": content.issued_at,
    }
    missing = [name for name, value in required.items() if value is None]
    if missing:
        raise InvalidSignIn(f"The sign-in has no 'message', and as x402 fields it lacks {', '.join(missing)}. {HOW}")
    chain = content.chain_id or ""
    try:
        namespace = chains.namespace_of(chain)
        reference = chains.parse_chain(chain, namespace).partition(":")[2]
    except ValueError as error:
        raise UnsupportedChain(f"The sign-in's chainId is not usable: {error}.") from None
    account_name, signature_type = _KINDS[namespace]
    if content.type != signature_type:
        raise InvalidSignIn(f"The sign-in's type must be {signature_type} for a chain of {namespace}.")
    evm = namespace == "eip155"
    lines = [f"{content.domain} wants you to sign in with your {account_name} account:", f"{content.address}", ""]
    if content.statement:
        lines += [content.statement, ""]
    elif evm:
        lines.append("")
    lines += [
        f"URI: {content.uri}",
        f"Version: {content.version}",
        f"Chain ID: {reference}",
        f"Nonce: {content.nonce}",
        f"Issued At: {content.issued_at}",
    ]
    if content.expiration_time:
        lines.append(f"Expiration Time: {content.expiration_time}")
    if content.not_before:
        lines.append(f"Not Before: {content.not_before}")
    if content.request_id is not None if evm else content.request_id:
        lines.append(f"Request ID: {content.request_id}")
    if content.resources is not None if evm else content.resources:
        lines += ["Resources:", *(f"- {resource}" for resource in content.resources or ())]
    if any(_LINE_BREAKING.search(line) for line in lines):
        raise InvalidSignIn("A field of the sign-in has a control character.")
    return "\n".join(lines)
