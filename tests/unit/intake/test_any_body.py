"""Whatever bytes come: a Call that reads one way, or an error for the caller."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from helpers.requests import HELLO, parsed
from tollway.domain.call import Call
from tollway.domain.errors import TollwayError
from tollway.intake.features import FIELD_FEATURES
from tollway.intake.limits import SMALL_FIELD_BYTES_MAX, Limits
from tollway.intake.parse import ROUTER_FIELDS
from tollway.intake.schema import FIELDS, OTHER_SPELLINGS
from tollway.wire.json import encode_fields

LIMITS = Limits(max_depth=8, max_messages=4, max_nodes=60)

scalars = (
    st.none() | st.booleans() | st.integers(-3, 200) | st.floats(-3, 3) | st.text(max_size=5) | st.sampled_from(["0.1"])
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "only", "url"]) | st.text(max_size=3), inner
        )
    ),
    max_leaves=12,
)
names = st.sampled_from([*FIELDS, *FIELD_FEATURES, *OTHER_SPELLINGS, "messages", "tools", "seed"]) | st.text(max_size=3)
plausible = st.fixed_dictionaries({"model": st.just("m"), "messages": st.just(HELLO)})
bodies = st.builds(lambda base, more: base | more, plausible, st.dictionaries(names, values, max_size=4))
pairs = st.lists(st.tuples(names, values), max_size=8)


def attempt(body: bytes) -> Call | None:
    """The Call, or None for an error that a caller may be given; anything else that is raised fails the test."""
    try:
        return parsed(body, LIMITS)
    except TollwayError as refused:
        assert 400 <= refused.status < 500
        assert refused.message
        return None


def written(members: list[tuple[str, Any]]) -> bytes:
    """An object whose keys may be repeated."""
    return b"{%s}" % b",".join(b"%s:%s" % (json.dumps(k).encode(), json.dumps(v).encode()) for k, v in members)


def unrepeated(members: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in members}) == len(members), "a key is there twice"
    return dict(members)


def outcome(body: bytes) -> Any:
    """What came of a body, but for the hash of its bytes."""
    try:
        return msgspec.structs.replace(parsed(body, LIMITS), request_hash="")
    except TollwayError as refused:
        return refused.code, refused.param, refused.message


def reads_one_way(call: Call, meant: Mapping[str, Any]) -> None:
    read = json.loads(encode_fields(call.fields), object_pairs_hook=unrepeated)
    wanted = {key: value for key, value in meant.items() if value is not None and key not in ROUTER_FIELDS}
    if wanted.get("max_completion_tokens") is not None:
        wanted.pop("max_tokens", None)
    assert read == wanted


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\nulmode01 ', max_size=60).map(str.encode))
def test_no_bytes_crash_the_parser(body: bytes) -> None:
    attempt(body)


@given(bodies, st.binary(max_size=3), st.integers(0, 400))
def test_no_damage_to_a_good_body_crashes_the_parser(body: Any, damage: bytes, at: int) -> None:
    text = json.dumps(body).encode()
    attempt(text[:at] + damage + text[at + len(damage) :])


@given(bodies)
def test_what_is_accepted_is_forwarded_with_the_same_values(body: dict[str, Any]) -> None:
    call = attempt(json.dumps(body).encode())
    if call is not None:
        reads_one_way(call, body)
        assert call.prompt.text_bytes > 0


@given(pairs)
def test_of_repeated_fields_the_last_is_forwarded_once(members: list[tuple[str, Any]]) -> None:
    members = [*members, ("model", "m"), ("messages", HELLO)]
    call = attempt(written(members))
    if call is not None:
        reads_one_way(call, dict(members))


@given(pairs)
def test_a_long_body_whose_fields_are_read_one_by_one_means_the_same(members: list[tuple[str, Any]]) -> None:
    body = written([("model", "m"), ("messages", HELLO), *members])
    assert outcome(body) == outcome(body + b" " * SMALL_FIELD_BYTES_MAX)
