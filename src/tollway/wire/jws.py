"""JSON Web Signatures in their compact form (RFC 7515), by Ed25519 (RFC 8037). Pure: it knows forms and keys, not what
is signed.

One algorithm, named by the reader and never by the text: a signature that says otherwise is refused (RFC 8725, 3.1).
"""

import base64
import binascii
import hashlib
from typing import Any

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError

from tollway.wire import json

ALGORITHM = "EdDSA"
PUBLIC_BYTES = 32
TEXT_MAX = 64 * 1024  # characters: far more than anything that is signed here


class Header(msgspec.Struct, frozen=True):
    """The protected header, as far as it is read. `crit` is refused: no extension is understood."""

    alg: str = ""
    kid: str = ""
    typ: str = ""
    crit: Any = None


class Signed(msgspec.Struct, frozen=True):
    """A compact text taken apart; nothing in it is believed before `verify`."""

    header: Header
    payload: bytes
    signing_input: bytes
    signature: bytes


class Jwk(msgspec.Struct, frozen=True, kw_only=True):
    """A public key (RFC 7517) of Ed25519; `x` is its 32 bytes in base64url."""

    kty: str = "OKP"
    crv: str = "Ed25519"
    x: str
    kid: str = ""
    use: str = "sig"
    alg: str = ALGORITHM


class SigningKey:
    """A key from its 32-byte seed. `kid` is the key's thumbprint (RFC 7638): the same key has the same name."""

    def __init__(self, seed: bytes) -> None:
        public, self._secret = crypto_sign_seed_keypair(seed)
        x = encode(public)
        self.kid = encode(hashlib.sha256(b'{"crv":"Ed25519","kty":"OKP","x":"%b"}' % x.encode()).digest())
        self.public = Jwk(x=x, kid=self.kid)

    def sign(self, payload: bytes, typ: str) -> str:
        """The compact text."""
        header = json.encode({"alg": ALGORITHM, "kid": self.kid, "typ": typ})
        signing_input = f"{encode(header)}.{encode(payload)}"
        signature = crypto_sign(signing_input.encode(), self._secret)[:crypto_sign_BYTES]
        return f"{signing_input}.{encode(signature)}"


def parse(text: str) -> Signed:
    """Take a compact text apart. ValueError says what is wrong with its form."""
    if len(text) > TEXT_MAX:
        raise ValueError(f"it is over {TEXT_MAX} characters long")
    parts = text.split(".")
    if len(parts) != 3:
        raise ValueError("it is no compact JWS: three parts with dots between them")
    header, payload, signature = (decode(part) for part in parts)
    try:
        read = json.decode_as(header, Header)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ValueError("its header is no JSON object of a JWS") from None
    return Signed(read, payload, text.rpartition(".")[0].encode(), signature)


def verify(signed: Signed, key: Jwk) -> bool:
    """Whether `key` signed it. False for another algorithm, an extension, or a key that is none of Ed25519."""
    header = signed.header
    if header.alg != ALGORITHM or header.crit is not None or (key.kty, key.crv) != ("OKP", "Ed25519"):
        return False
    try:
        public = decode(key.x)
        if len(public) != PUBLIC_BYTES or len(signed.signature) != crypto_sign_BYTES:  # libsodium doesn't look
            return False
        crypto_sign_open(signed.signature + signed.signing_input, public)
    except (ValueError, BadSignatureError):
        return False
    return True


def encode(data: bytes) -> str:
    """base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """ValueError for what `encode` would not have written: one value has one text."""
    try:
        data = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        data = b""
    if encode(data) != text:
        raise ValueError("a part of it is not base64url")
    return data
