"""The header a client sends: what it says, and that what it says is what was signed."""

import base64
import json

import pytest

from tollway.client.siwx import sign_in_header, sign_in_message
from tollway.client.wallet import EvmWallet, SolanaWallet, Wallet

NOW_MS = 1_767_225_600_123
SOLANA = SolanaWallet(bytes([7]) * 32)
EVM = EvmWallet(b"\x11" * 32)
URL = "http://127.0.0.1:8080/api/v1"


def opened(header: str) -> dict[str, str]:
    content: dict[str, str] = json.loads(base64.b64decode(header, validate=True))
    return content


def test_the_message_is_the_one_deployed_clients_send() -> None:
    """No nonce, no issue time, the chain id whole, one blank line, always an end."""
    assert opened(sign_in_header(SOLANA, URL, 3600, NOW_MS))["message"] == (
        "127.0.0.1:8080 wants you to sign in with your Solana account:\n"
        "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB\n"
        "\n"
        "URI: http://127.0.0.1:8080/api/v1\n"
        "Version: 1\n"
        "Chain ID: solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp\n"
        "Expiration Time: 2026-01-01T01:00:00.123Z"
    )


def test_a_nonce_and_scopes_have_their_lines() -> None:
    scopes = ["urn:tollway:scope:keys", "urn:tollway:scope:operator"]
    header = sign_in_header(EVM, "https://router.test", 300.5, NOW_MS, nonce="12345678", scopes=scopes)
    assert opened(header)["message"] == (
        "router.test wants you to sign in with your Ethereum account:\n"
        "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A\n"
        "\n"
        "URI: https://router.test\n"
        "Version: 1\n"
        "Chain ID: eip155:8453\n"
        "Nonce: 12345678\n"
        "Expiration Time: 2026-01-01T00:05:00.623Z\n"
        "Resources:\n"
        "- urn:tollway:scope:keys\n"
        "- urn:tollway:scope:operator"
    )


@pytest.mark.parametrize("wallet", [SOLANA, EVM], ids=["solana", "evm"])
def test_the_signature_is_over_the_message_in_the_header(wallet: Wallet) -> None:
    content = opened(sign_in_header(wallet, URL, 3600, NOW_MS))
    assert list(content) == ["message", "signature"]
    assert content["signature"] == wallet.sign(content["message"].encode())


@pytest.mark.parametrize("chain", ["eip155:1", "1"])
def test_a_wallet_signs_in_on_the_chain_it_is_told(chain: str) -> None:
    assert "\nChain ID: eip155:1\n" in sign_in_message(EVM, URL, expires_ms=NOW_MS, chain=chain)


@pytest.mark.parametrize("chain", ["solana:x", "eip155:x", "base"])
def test_a_chain_of_another_kind_is_refused(chain: str) -> None:
    with pytest.raises(ValueError, match="no chain of this wallet: it signs in on eip155"):
        sign_in_message(EVM, URL, expires_ms=NOW_MS, chain=chain)


@pytest.mark.parametrize(
    "url",
    ["", "router.test", "127.0.0.1:8080", "ftp://router.test", "https://", "https:///path", "https://me@router.test",
     "https://router.test/a b", "https://router.test/\nVersion: 1", "https://röuter.test", "https://:8080"],
)  # fmt: skip
def test_what_is_no_routers_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no router's URL"):
        sign_in_message(SOLANA, url, expires_ms=NOW_MS)
