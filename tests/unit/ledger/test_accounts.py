"""How operators may spell an account."""

import pytest

from tollway.ledger.accounts import stored_account

MIXED = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"  # EIP-55's own example
LOWER = MIXED.lower()
SOLANA = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp:7S3P4HxJpyyigGzodYwHtCxZyUQe9JiBMHyRWXArAaKv"


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        (MIXED, f"eip155:{LOWER}"),
        (f"eip155:{LOWER}", f"eip155:{LOWER}"),
        (f"eip155:8453:{MIXED}", f"eip155:{LOWER}"),
        (f"eip155:1:{MIXED}", f"eip155:{LOWER}"),
        (f"  {SOLANA}\n", SOLANA),
        (SOLANA, SOLANA),
    ],
)
def test_every_spelling_of_a_key_is_its_one_stored_id(text: str, stored: str) -> None:
    assert stored_account(text) == stored
    assert stored_account(stored) == stored


@pytest.mark.parametrize(
    "text",
    [MIXED.replace("5aA", "5Aa"), f"eip155:8453:{MIXED[:-1]}e", SOLANA[:-2], SOLANA + "v"],
)
def test_a_slip_of_the_pen_is_refused_for_nobody_could_spend_what_is_credited_there(text: str) -> None:
    with pytest.raises(ValueError, match="is none"):
        stored_account(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "alice",
        "0x123",
        MIXED + "0",
        f"eip155:base:{MIXED}",
        "router:revenue",
        "provider:openai",
        SOLANA.replace("7S3P", "0OIl"),
        "solana:" + SOLANA.split(":")[2],
        "cosmos:cosmoshub-4:cosmos1t2uflqwqe0fsj0shcfkrvpukewcw40yjj6hdc0",
    ],
)
def test_what_is_no_account_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(ValueError, match="0x<40 hex digits>"):
        stored_account(text)
