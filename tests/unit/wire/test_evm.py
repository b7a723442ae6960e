import pytest

from tollway.wire import evm, secp256k1

# EIP-55's own examples.
CHECKSUMMED = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
]


def test_keccak_is_ethereums_and_not_sha3() -> None:
    assert evm.keccak_256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@pytest.mark.parametrize("address", CHECKSUMMED)
def test_an_address_is_read_in_its_checksum_form_and_in_one_case(address: str) -> None:
    digits = address[2:]
    assert {evm.parse_address(f"0x{text}") for text in (digits, digits.lower(), digits.upper())} == {address}


@pytest.mark.parametrize("address", CHECKSUMMED[2:])
def test_mixed_case_must_be_the_checksum(address: str) -> None:
    letter = next(i for i, c in enumerate(address) if i > 1 and c.isalpha())
    with pytest.raises(ValueError, match="EIP-55"):
        evm.parse_address(address[:letter] + address[letter].swapcase() + address[letter + 1 :])


@pytest.mark.parametrize(
    "text", ["", "0x", "52908400098527886E0F7030069857D2E4169EE7", "0X" + "1" * 40, "0x" + "1" * 39, "0x" + "1" * 41,
             "0x" + "g" * 40, "0x" + "1" * 40 + "\n", "0x" + "１" * 40]
)  # fmt: skip
def test_anything_but_0x_and_40_hex_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="40 hex digits"):
        evm.parse_address(text)


def test_the_hash_of_a_text_is_that_of_personal_sign() -> None:
    # The example of ethers and web3.js.
    assert evm.text_hash(b"Hello World").hex() == "a1de988600a42c4b4ab089b619297c17d53cffae5d5120d82d8a92d0bb3b78f2"


def test_an_address_is_the_end_of_the_public_keys_hash() -> None:
    assert evm.address_of(secp256k1.public_key(b"\x11" * 32)) == "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
