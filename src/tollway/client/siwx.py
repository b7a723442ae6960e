"""The Sign-In-With-X header, made: the CAIP-122 text as deployed clients write it, signed by a wallet. No I/O."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from tollway.client.wallet import Wallet
from tollway.wire import chains, json

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sign_in_message(
    wallet: Wallet,
    url: str,
    *,
    expires_ms: int,
    nonce: str | None = None,
    scopes: Sequence[str] = (),
    chain: str | None = None,
) -> str:
    """The text to sign for a router at `url` (http or https; its host and port become the domain). `chain` is the
    CAIP-2 id to sign in on, `scopes` are named as Resources. ValueError says what is wrong with an argument."""
    try:
        chain = chains.parse_chain(chain or wallet.chain, wallet.namespace)
    except ValueError:
        raise ValueError(f"{chain} is no chain of this wallet: it signs in on {wallet.namespace}:...") from None
    lines = [
        f"{_domain(url)} wants you to sign in with your {wallet.account_name} account:",
        wallet.address,
        "",
        f"URI: {url}",
        "Version: 1",
        f"Chain ID: {chain}",
    ]
    if nonce is not None:
        lines.append(f"Nonce: {nonce}")
    lines.append(f"Expiration Time: {_rfc3339(expires_ms)}")
    if scopes:
        lines += ["Resources:", *(f"- {scope}" for scope in scopes)]
    return "\n".join(lines)


def sign_in_header(
    wallet: Wallet,
    url: str,
    lifetime_s: float,
    now_ms: int,
    nonce: str | None = None,
    scopes: Sequence[str] = (),
    chain: str | None = None,
) -> str:
    """The value of `Sign-In-With-X` (or of a bearer token) for a router at `url`, good for `lifetime_s` seconds from
    `now_ms` (Unix milliseconds). With a nonce from the router it is good for one call. Raises as sign_in_message."""
    expires_ms = now_ms + int(lifetime_s * 1000)
    message = sign_in_message(wallet, url, expires_ms=expires_ms, nonce=nonce, scopes=scopes, chain=chain)
    envelope = {"message": message, "signature": wallet.sign(message.encode())}
    return base64.b64encode(json.encode(envelope)).decode()


def _domain(url: str) -> str:
    """host[:port]: what a router accepts sign-ins for. A user name in the URL is no part of it, so it is refused."""
    printable = all("!" <= character <= "~" for character in url)
    parts = urlsplit(url) if printable else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{url!r} is no router's URL: give it as https://host or http://host:port")
    return parts.netloc


def _rfc3339(unix_ms: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=unix_ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{unix_ms % 1000:03d}Z"
