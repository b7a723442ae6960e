"""Base58 (Bitcoin alphabet), as Solana writes keys and signatures. Knows nothing of what the bytes mean."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

# Decoding costs the square of the length; the longest thing written in base58 here is a signature of 64 bytes (88).
TEXT_MAX = 128

_DIGITS = {character: value for value, character in enumerate(ALPHABET)}


def encode(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        digits.append(ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "1" * zeros + "".join(reversed(digits))


def decode(text: str) -> bytes:
    """The bytes of `text`; one text per value, so two texts never decode alike. ValueError when it is no base58."""
    if len(text) > TEXT_MAX:
        raise ValueError(f"base58 text is longer than {TEXT_MAX} characters")
    number = 0
    for character in text:
        digit = _DIGITS.get(character)
        if digit is None:
            raise ValueError("not base58")
        number = number * 58 + digit
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
