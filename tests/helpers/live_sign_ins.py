"""Sign-ins of any shape for a router that runs now, at its own address: helpers.sign_ins with the clock on the wall."""

from datetime import UTC, datetime, timedelta

from helpers.running import Running
from helpers.sign_ins import encoded, text
from tollway.client.wallet import Wallet
from tollway.wire import base58


def at(seconds: float) -> str:
    """The time so many seconds from now, as clients in Python write it."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def authority(router: Running) -> str:
    return router.url.removeprefix("http://")


def message(router: Running, wallet: Wallet, **fields: str | None) -> str:
    """A good message, but for `fields` (see helpers.sign_ins.text); `domain` is the one in its first line."""
    domain = fields.pop("domain", None) or authority(router)
    opening = (f"{domain} wants you to sign in with your {wallet.account_name} account:", wallet.address, "")
    given = {"uri": f"{router.url}/api/v1/chat/completions", "expires": at(600), **fields}
    return text(wallet, opening=opening, **given)


def header(content: str, wallet: Wallet, signature: str | None = None) -> str:
    """The header's value for a message, by the wallet's own signature unless another is given."""
    return encoded({"message": content, "signature": signature or wallet.sign(content.encode())}).decode()


def fields_form(router: Running, wallet: Wallet, *, nonce: str, issued: str) -> str:
    """The header's value in x402's form: fields, from which the server rebuilds the text that was signed."""
    evm = wallet.namespace == "eip155"
    reference = wallet.chain.partition(":")[2]
    uri = f"{router.url}/api/v1/chat/completions"
    opening = [f"{authority(router)} wants you to sign in with your {wallet.account_name} account:", wallet.address, ""]
    signed = text(
        wallet,
        opening=[*opening, ""] if evm else opening,
        uri=uri,
        chain=reference,
        nonce=nonce,
        issued=issued,
        expires=None,
    )
    content = {
        "domain": authority(router),
        "address": wallet.address,
        "uri": uri,
        "version": "1",
        "chainId": wallet.chain,
        "type": "eip191" if evm else "ed25519",
        "nonce": nonce,
        "issuedAt": issued,
        "signature": wallet.sign(signed.encode()),
    }
    return encoded(content).decode()


def flipped(signature: str, bit: int) -> str:
    """The signature with one bit turned over, in the encoding it came in."""
    evm = signature.startswith("0x")
    raw = bytearray(bytes.fromhex(signature[2:]) if evm else base58.decode(signature))
    raw[bit // 8] ^= 1 << bit % 8
    return f"0x{raw.hex()}" if evm else base58.encode(bytes(raw))
