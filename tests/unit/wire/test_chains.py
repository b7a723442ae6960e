import pytest

from tollway.wire import chains

NETWORK = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
BASE58 = "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB"
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"


@pytest.mark.parametrize("text", ["eip155:8453", "8453"])
def test_a_chain_is_written_whole_or_as_its_reference(text: str) -> None:
    assert chains.parse_chain(text, "eip155") == "eip155:8453"
    assert chains.parse_chain(NETWORK.removeprefix("solana:"), "solana") == NETWORK


@pytest.mark.parametrize("text", ["", "eip155:", "08453", "0", "8453 ", "8453\n", "８", "solana:1", "1" * 33, "0x1"])
def test_a_chain_of_eip155_has_one_decimal_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="eip155"):
        chains.parse_chain(text, "eip155")


@pytest.mark.parametrize("text", ["", "solana:", "a b", "eip155:1", "a" * 33, "a\n"])
def test_a_network_of_solana_is_a_caip_2_reference(text: str) -> None:
    with pytest.raises(ValueError, match="solana"):
        chains.parse_chain(text, "solana")


def test_other_namespaces_are_refused() -> None:
    assert chains.namespace_of("solana:x") == "solana"
    assert chains.namespace_of("eip155:1") == "eip155"
    with pytest.raises(ValueError, match="starts with"):
        chains.namespace_of("bip122:000000000019d6689c085ae165831e93")


def test_an_address_is_kept_in_its_canonical_form() -> None:
    assert chains.parse_address(BASE58, "solana") == BASE58
    assert chains.parse_address(ADDRESS.lower(), "eip155") == ADDRESS


@pytest.mark.parametrize("text", ["", "1" * 31, "1" * 33, BASE58[:-2], BASE58 + "1", "0" * 32])
def test_a_solana_address_is_base58_of_32_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="base58"):
        chains.parse_address(text, "solana")


def test_a_solana_key_is_an_account_on_each_network() -> None:
    assert chains.account_id(NETWORK, BASE58) == f"{NETWORK}:{BASE58}"


def test_an_evm_key_is_one_account_on_every_chain_and_a_contract_one_on_each() -> None:
    assert chains.account_id("eip155:1", ADDRESS) == chains.account_id("eip155:8453", ADDRESS)
    assert chains.account_id("eip155:1", ADDRESS) == f"eip155:{ADDRESS.lower()}"
    assert chains.account_id("eip155:1", ADDRESS, contract=True) == f"eip155:1:{ADDRESS.lower()}"


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (f"{NETWORK}:{BASE58}", f"{NETWORK}:{BASE58}"),
        (f"eip155:8453:{ADDRESS}", f"eip155:{ADDRESS.lower()}"),
        (f"eip155:1:{ADDRESS.lower()}", f"eip155:{ADDRESS.lower()}"),
        (f"eip155:{ADDRESS.lower()}", f"eip155:{ADDRESS.lower()}"),
    ],
)
def test_an_operator_may_write_an_account_as_caip_10_or_as_it_is_stored(text: str, account: str) -> None:
    assert chains.parse_account(text) == account


def test_a_contract_is_named_with_its_chain() -> None:
    assert chains.parse_account(f"eip155:8453:{ADDRESS}", contract=True) == f"eip155:8453:{ADDRESS.lower()}"
    with pytest.raises(ValueError, match="names its chain"):
        chains.parse_account(f"eip155:{ADDRESS}", contract=True)


@pytest.mark.parametrize(
    "text",
    ["", ":", "0x", ADDRESS, BASE58, f"solana:{BASE58}", f"{NETWORK}:", f"eip155:x:{ADDRESS}", f"bip122:x:{BASE58}",
     f"eip155:8453:{ADDRESS.swapcase()}", f"eip155:{BASE58}", "eip155:*"],
)  # fmt: skip
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # which of the messages depends on the part that is wrong
        chains.parse_account(text)
