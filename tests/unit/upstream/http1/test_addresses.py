"""In which order a host's addresses are tried."""

import socket

from tollway.upstream.http1.names import Address, in_turn

V4, V6 = socket.AF_INET, socket.AF_INET6


def tried(*addresses: tuple[int, str]) -> list[str]:
    return [address.sockaddr[0] for address in in_turn([Address(family, (host, 80)) for family, host in addresses])]


def test_the_families_take_turns_and_the_first_begins() -> None:
    assert tried((V6, "a"), (V6, "b"), (V4, "c"), (V4, "d"), (V6, "e")) == ["a", "c", "b", "d", "e"]
    assert tried((V4, "a"), (V4, "b"), (V6, "c")) == ["a", "c", "b"]


def test_one_family_keeps_its_order() -> None:
    assert tried((V4, "a"), (V4, "b")) == ["a", "b"]
    assert tried() == []
