"""Ids are UUIDv7 (RFC 9562, 5.7)."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.ids import id_moment, id_time_ms, moment_of, new_id

TIMES = st.integers(0, (1 << 48) - 1)


@given(TIMES)
def test_an_id_is_a_uuid_of_version_7_in_its_canonical_form(now_ms: int) -> None:
    text = new_id(now_ms)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


@given(TIMES)
def test_an_id_tells_when_it_was_made(now_ms: int) -> None:
    assert id_time_ms(new_id(now_ms)) == now_ms


@given(TIMES)
def test_an_id_begins_with_the_moment_it_was_made_at(now_ms: int) -> None:
    assert id_moment(new_id(now_ms)) == moment_of(now_ms)


@given(TIMES, TIMES)
def test_moments_are_in_the_order_of_their_times(one: int, other: int) -> None:
    assert (moment_of(one) < moment_of(other)) == (one < other)


@given(TIMES, TIMES)
def test_ids_are_in_the_order_of_their_times(one: int, other: int) -> None:
    if one != other:
        assert (new_id(one) < new_id(other)) == (one < other)


def test_ids_of_the_same_moment_are_different() -> None:
    assert len({new_id(1) for _ in range(10_000)}) == 10_000


def test_the_74_free_bits_are_all_used() -> None:
    values = [uuid.UUID(new_id(0)).int for _ in range(500)]
    ever_set = ever_clear = 0
    for value in values:
        ever_set |= value
        ever_clear |= ~value
    free = (1 << 62) - 1 | 0xFFF << 64
    assert ever_set & free == free == ever_clear & free


@pytest.mark.parametrize(
    "text",
    [
        "",
        "call-1",
        str(uuid.UUID(int=0, version=4)),
        new_id(1).upper() + "0",
        new_id(1).replace("-", ""),
        new_id(1) + "\n",
        "+" + new_id(1)[1:],
        "0x" + new_id(1)[2:],
        "1_" + new_id(1)[2:],
        " " + new_id(1)[1:],
        new_id(1)[:19] + "c" + new_id(1)[20:],
        "\u0661" + new_id(1)[1:],
    ],
)
def test_what_is_no_uuid_of_version_7_has_no_time(text: str) -> None:
    assert id_time_ms(text) is None
    assert id_moment(text) is None


@given(st.text(max_size=40))
def test_any_text_has_a_time_or_none(text: str) -> None:
    assert (id_moment(text) is None) == (id_time_ms(text) is None)
    assert id_time_ms(text) is None or id_time_ms(text) == int(text[:8] + text[9:13], 16)
