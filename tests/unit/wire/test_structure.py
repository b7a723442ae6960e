"""Depth and number of nodes, counted before anything is decoded."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.wire import structure
from tollway.wire.structure import TooDeep, TooManyNodes, check_structure


def nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"[]" * (depth % 2) + b"]}" * (depth // 2)


def accepts(body: bytes, *, max_depth: int = 10, max_nodes: int | None = 10_000) -> bool:
    try:
        check_structure(body, max_depth=max_depth, max_nodes=max_nodes)
    except (TooDeep, TooManyNodes):
        return False
    return True


def depth_of(value: Any) -> int:
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if members is None else 1 + max(map(depth_of, members), default=0)


def nodes_of(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(nodes_of, value.values()))
    return 1 + sum(map(nodes_of, value)) if isinstance(value, list) else 0


def test_the_limit_itself_is_accepted_and_one_more_level_is_not() -> None:
    for depth in range(1, 60):
        assert accepts(nested(depth), max_depth=depth)
        assert not accepts(nested(depth + 1), max_depth=depth)


def test_a_thousand_levels_are_refused_with_the_limit_named() -> None:
    with pytest.raises(TooDeep, match="more than 128 levels"):
        check_structure(b"[" * 1_000 + b"]" * 1_000, max_depth=128, max_nodes=10_000)


def test_what_is_cut_short_is_as_deep_as_it_has_come() -> None:
    for size in (1_000, 100_000):  # gone through in one step, and bracket by bracket
        with pytest.raises(TooDeep):
            check_structure(b'{"a":' * (size // 5), max_depth=128)


def test_brackets_and_colons_in_strings_do_not_count() -> None:
    text = json.dumps({"text": '[[[[{{{{\\" : \\\\' * 500}).encode()
    assert accepts(text, max_depth=1, max_nodes=2)


def test_many_shallow_siblings_are_not_deep() -> None:
    assert accepts(b"[" + b",".join([b'{"a":[{}]}'] * 500) + b"]", max_depth=4)
    assert not accepts(b"[" + b",".join([b'{"a":[{}]}'] * 500) + b"]", max_depth=3)


def test_too_many_nodes_are_refused() -> None:
    body = b"[" + b",".join([b'{"a":1}'] * 100) + b"]"
    assert accepts(body, max_nodes=201)
    assert not accepts(body, max_nodes=200)


def test_without_a_limit_any_number_of_nodes_is_accepted() -> None:
    check_structure(b"[" + b"[]," * 300_000 + b"[]]", max_depth=2)


def test_many_members_are_refused_though_few_brackets_open() -> None:
    body = b"{" + b",".join(b'"%d":1' % number for number in range(100)) + b"}"
    assert accepts(body, max_nodes=101)
    assert not accepts(body, max_nodes=100)


def test_a_long_text_is_followed_across_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "_SHORT", 0)
    monkeypatch.setattr(structure, "_WINDOW", 7)
    test_brackets_and_colons_in_strings_do_not_count()
    test_the_limit_itself_is_accepted_and_one_more_level_is_not()
    test_too_many_nodes_are_refused()


json_values = st.recursive(
    st.none() | st.integers() | st.text(alphabet='ab\\"[]{}:,\n\u00e9\U0001f600'),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet='k\\"{[:', max_size=3), inner),
    max_leaves=40,
)


@given(json_values, st.integers(0, 8), st.integers(0, 60), st.booleans(), st.sampled_from([None, 1]))
def test_depth_and_nodes_are_exactly_those_of_the_decoded_value(
    value: Any, max_depth: int, max_nodes: int, ascii_only: bool, indent: int | None
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    fits = depth_of(value) <= max_depth and nodes_of(value) <= max_nodes
    assert accepts(text, max_depth=max_depth, max_nodes=max_nodes) == fits
