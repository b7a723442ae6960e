"""Key pairs that sign in: made, kept in files, read back. Keys never leave this room except into a file of mode 0600.

A Solana wallet's file is the Solana CLI's (a JSON array of 64 numbers: seed and public key); an Ethereum wallet's is
its key in hex. Knows nothing of messages: it signs what it is given.
"""

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Protocol

from nacl.bindings import crypto_sign_seed_keypair
from nacl.signing import SigningKey

from tollway.client.errors import WalletError
from tollway.wire import base58, chains, evm, json, secp256k1

KEY_BYTES = 32
FILE_BYTES_MAX = 4096  # a Solana wallet takes about 230 bytes, an Ethereum one 67

_EVM_KEY = re.compile(rb"\s*(?:0x)?([0-9a-fA-F]{64})\s*\Z")


class Wallet(Protocol):
    @property
    def account_name(self) -> str:
        """What CAIP-122 calls the account: "Solana" or "Ethereum"."""

    @property
    def namespace(self) -> chains.Namespace: ...

    @property
    def chain(self) -> str:
        """The chain (CAIP-2) it signs in on unless told otherwise."""

    @property
    def address(self) -> str:
        """Base58 for Solana, EIP-55 hex for Ethereum."""

    def sign(self, message: bytes) -> str:
        """The signature as it travels: base58 for Solana, hex with 0x for Ethereum (`personal_sign`, EIP-191)."""

    def save(self, path: Path) -> None:
        """Write the key pair to a new file. WalletError when there is one already, or it can't be written."""


class SolanaWallet:
    account_name = "Solana"
    namespace: chains.Namespace = "solana"
    chain = chains.SOLANA_MAINNET

    def __init__(self, seed: bytes) -> None:
        """`seed` is 32 secret bytes (RFC 8032's private key)."""
        self._key = SigningKey(seed)
        self.address = base58.encode(bytes(self._key.verify_key))

    @classmethod
    def new(cls) -> "SolanaWallet":
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def load(cls, path: Path) -> "SolanaWallet":
        return cls._parse(_read(path), path)

    @classmethod
    def _parse(cls, data: bytes, path: Path) -> "SolanaWallet":
        try:
            numbers = bytes(json.decode_as(data, list[int]))
        except ValueError:
            numbers = b""
        if len(numbers) != 2 * KEY_BYTES:
            raise WalletError(f"{path} is no Solana wallet: it must hold a JSON array of 64 numbers from 0 to 255.")
        seed, public_key = numbers[:KEY_BYTES], numbers[KEY_BYTES:]
        if crypto_sign_seed_keypair(seed)[0] != public_key:
            raise WalletError(f"{path} is damaged: its public key is not that of its private key.")
        return cls(seed)

    def sign(self, message: bytes) -> str:
        return base58.encode(self._key.sign(message).signature)

    def save(self, path: Path) -> None:
        _write(path, json.encode(list(bytes(self._key) + bytes(self._key.verify_key))) + b"\n")


class EvmWallet:
    account_name = "Ethereum"
    namespace: chains.Namespace = "eip155"
    chain = chains.BASE_MAINNET

    def __init__(self, key: bytes) -> None:
        """`key` is the 32-byte secret. WalletError when it is out of secp256k1's range."""
        try:
            self.address = evm.address_of(secp256k1.public_key(key))
        except ValueError:
            raise WalletError("The key is no valid Ethereum private key.") from None
        self._key = key

    @classmethod
    def new(cls) -> "EvmWallet":
        return cls(secrets.token_bytes(KEY_BYTES))  # out of range once in 2**128

    @classmethod
    def load(cls, path: Path) -> "EvmWallet":
        return cls._parse(_read(path), path)

    @classmethod
    def _parse(cls, data: bytes, path: Path) -> "EvmWallet":
        match = _EVM_KEY.match(data)
        if match is None:
            raise WalletError(f"{path} is no Ethereum wallet: it must hold a private key of 64 hex digits.")
        return cls(bytes.fromhex(match[1].decode()))

    def sign(self, message: bytes) -> str:
        signature = secp256k1.sign(evm.text_hash(message), self._key)
        return f"0x{signature[:64].hex()}{signature[64] + 27:02x}"

    def save(self, path: Path) -> None:
        _write(path, b"0x%b\n" % self._key.hex().encode())


def load_wallet(path: Path) -> SolanaWallet | EvmWallet:
    """The wallet in a file of either kind. WalletError when it is neither, or others may read it."""
    data = _read(path)
    if data.lstrip().startswith(b"["):
        return SolanaWallet._parse(data, path)
    return EvmWallet._parse(data, path)


def account_id(wallet: Wallet, chain: str | None = None) -> str:
    """The id its account has in a router's ledger."""
    return chains.account_id(chain or wallet.chain, wallet.address)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise WalletError(f"Others may read {path}, which holds a private key: run chmod 600 {path}")
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise WalletError(f"{path} can't be read: {error.strerror}. Make one with tollway wallet new.") from None
    if len(data) > FILE_BYTES_MAX:
        raise WalletError(f"{path} is no wallet: it is longer than {FILE_BYTES_MAX} bytes.")
    return data


def _write(path: Path, data: bytes) -> None:
    """Never over an existing file: a key that is lost is money that is lost."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise WalletError(f"{path} exists and wallets are never overwritten: choose another file.") from None
    except OSError as error:
        raise WalletError(f"{path} can't be written: {error.strerror}.") from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink()
        raise WalletError(f"{path} can't be written: {error.strerror}.") from None
