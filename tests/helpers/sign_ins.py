"""A router's sign-in with a ledger of two sets, and sign-ins of any shape for it."""

import base64
import json
from collections.abc import Sequence

from tollway.auth.policy import SignInSettings
from tollway.auth.signin import SignIn
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet
from tollway.domain.commands import (
    Balance,
    Burned,
    BurnNonce,
    Command,
    Refused,
    Result,
    Revoke,
    Revoked,
    Statement,
)
from tollway.domain.record import CallRecord
from tollway.wire import chains

NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000
DOMAIN = "router.test:8402"
URL = f"https://{DOMAIN}/api/v1/chat/completions"
NONCE_KEY = bytes(range(32))
SOLANA = SolanaWallet(bytes([7]) * 32)
EVM = EvmWallet(b"\x11" * 32)
WALLETS = (SOLANA, EVM)


class HandClock:
    """Stands still until a test moves it."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.at_ms = now_ms

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic(self) -> float:
        raise AssertionError("sign-ins are judged by the time of day")


class NonceLedger:
    """Burns and revokes as the book does. Anything else about it is not for sign-ins to touch."""

    def __init__(self) -> None:
        self.burned: dict[tuple[str, str], int] = {}
        self.revocations: dict[str, int] = {}
        self.fault: Exception | None = None
        self.answer: Result | None = None
        self.applied: list[Command] = []

    async def apply(self, commands: Sequence[Command]) -> list[Result]:
        if self.fault is not None:
            raise self.fault
        self.applied += commands
        if self.answer is not None:
            return [self.answer]
        return [self._apply(command) for command in commands]

    def _apply(self, command: Command) -> Result:
        match command:
            case BurnNonce(account=account, nonce=nonce, expires_ms=expires_ms):
                if (account, nonce) in self.burned:
                    return Refused(reason="nonce_used")
                self.burned[account, nonce] = expires_ms
                return Burned()
            case Revoke(message_hash=message_hash, expires_ms=expires_ms):
                self.revocations[message_hash] = expires_ms
                return Revoked()
        raise AssertionError(f"no sign-in sends {command}")

    async def revoked(self, message_hash: str) -> bool:
        return message_hash in self.revocations

    async def balance(self, account: str) -> Balance | None:
        raise AssertionError("a sign-in asks for no balance")

    async def statement(self, account: str, *, limit: int, cursor: str | None = None) -> Statement:
        raise AssertionError("a sign-in asks for no statement")

    async def call(self, account: str, id: str) -> CallRecord | None:
        raise AssertionError("a sign-in asks for no call")

    async def secret(self, name: str) -> bytes:
        raise AssertionError("the key is passed in")

    async def aclose(self) -> None:
        raise AssertionError("a sign-in does not own the ledger")


class Gate:
    """A SignIn with the parts a test moves."""

    def __init__(self, **settings: object) -> None:
        self.clock = HandClock()
        self.ledger = NonceLedger()
        given = {"domains": (DOMAIN,), "chains": (chains.SOLANA_MAINNET, "eip155:*"), **settings}
        self.sign_in = SignIn(SignInSettings(**given), self.ledger, self.clock, NONCE_KEY)  # type: ignore[arg-type]

    def nonce(self) -> str:
        return self.sign_in.issue_nonce()[0]


def rfc3339(offset_ms: int) -> str:
    """A time so many milliseconds after NOW_MS, within its day."""
    seconds, millis = divmod(offset_ms + 86_400_000, 1000)
    day = {0: "2025-12-31", 1: "2026-01-01", 2: "2026-01-02"}[seconds // 86_400]
    seconds %= 86_400
    return f"{day}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{millis:03d}Z"


def text(wallet: Wallet = SOLANA, *, opening: Sequence[str] | None = None, **fields: str | None) -> str:
    """A message as deployed clients write it; a keyword replaces a line, adds one, or (None) leaves it out:
    chain, uri, version, nonce, issued, expires, not_before, request_id, resources (as written)."""
    opening = opening or (f"{DOMAIN} wants you to sign in with your {wallet.account_name} account:", wallet.address, "")
    lines = [*opening]
    names = {
        "uri": ("URI", URL),
        "version": ("Version", "1"),
        "chain": ("Chain ID", wallet.chain),
        "nonce": ("Nonce", None),
        "issued": ("Issued At", None),
        "expires": ("Expiration Time", rfc3339(HOUR_MS)),
        "not_before": ("Not Before", None),
        "request_id": ("Request ID", None),
    }
    for key, (name, default) in names.items():
        value = fields.get(key, default)
        if value is not None:
            lines.append(f"{name}: {value}")
    if fields.get("resources") is not None:
        lines += ["Resources:", *(f"- {resource}" for resource in str(fields["resources"]).split())]
    return "\n".join(lines)


def encoded(content: object) -> bytes:
    return base64.b64encode(json.dumps(content).encode())


def signed(message: str, wallet: Wallet = SOLANA, signature: str | None = None) -> bytes:
    """The header value for `message`, by the wallet's signature unless another is given."""
    return encoded({"message": message, "signature": signature or wallet.sign(message.encode())})


def header(wallet: Wallet = SOLANA, **fields: str | None) -> bytes:
    return signed(text(wallet, **fields), wallet)


def fields_form(wallet: Wallet = EVM, **fields: object) -> dict[str, object]:
    """x402's fields, signed over the text that its clients build: two blank lines for EVM, one for Solana."""
    evm = wallet.namespace == "eip155"
    content: dict[str, object] = {
        "domain": DOMAIN,
        "address": wallet.address,
        "uri": URL,
        "version": "1",
        "chainId": wallet.chain,
        "type": "eip191" if evm else "ed25519",
        "nonce": "a1b2c3d4e5f6a7b8",
        "issuedAt": rfc3339(0),
    } | fields
    opening = [f"{DOMAIN} wants you to sign in with your {wallet.account_name} account:", wallet.address, ""]
    if content.get("statement"):
        opening += [str(content["statement"]), ""]
    elif evm:
        opening.append("")
    as_lines = {"nonce": "nonce", "issued": "issuedAt", "expires": "expirationTime", "not_before": "notBefore"}
    lines = {key: str(content[name]) for key, name in as_lines.items() if name in content}
    if "resources" in content:
        lines["resources"] = " ".join(content["resources"])  # type: ignore[arg-type]
    message = text(
        wallet,
        opening=opening,
        chain=wallet.chain.partition(":")[2],
        **{"expires": None} | lines,  # type: ignore[arg-type]
    )
    return content | {"signature": wallet.sign(message.encode())}


SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def high_s_twin(signature: str) -> str:
    """Another signature of the same key over the same message, which whoever holds one can compute (EIP-2)."""
    raw = bytes.fromhex(signature.removeprefix("0x"))
    s = SECP256K1_ORDER - int.from_bytes(raw[32:64], "big")
    return f"0x{(raw[:32] + s.to_bytes(32, 'big')).hex()}{27 + (raw[64] - 27 ^ 1):02x}"
