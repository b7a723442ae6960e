"""Does an Ethereum key vouch for a message? By recovery (EIP-191): whose signature is it, and is that the address?

A signature and its high-s twin both recover to the key, so nothing that must be unique may be made of signature bytes.
"""

import re

from tollway.wire import evm, secp256k1

_SIGNATURE = re.compile(r"(?:0x)?([0-9a-fA-F]{128})([0-9a-fA-F]{2})\Z")  # r and s, v
_RECOVERY_IDS = {0: 0, 1: 1, 27: 0, 28: 1}


def verify(address: str, message: bytes, signature: str) -> bool:
    """`address` is in EIP-55 form, `signature` hex of 65 bytes with or without 0x, its v 0, 1, 27 or 28."""
    match = _SIGNATURE.match(signature)
    recovery_id = _RECOVERY_IDS.get(int(match[2], 16)) if match else None
    if match is None or recovery_id is None:
        return False
    try:
        key = secp256k1.recover(evm.text_hash(message), bytes.fromhex(match[1]) + bytes([recovery_id]))
    except ValueError:
        return False
    return evm.address_of(key) == address
