"""A call with nothing to weigh, at providers with nothing against them, is planned by lot: as any other would be."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.routes import call, candidate, catalog
from tollway.domain.call import NO_PREFERENCES, Call, Preferences, PromptSize
from tollway.domain.errors import NoProviderAvailable, TollwayError, UnpricedFeature
from tollway.domain.plan import Candidate, Performance, Plan
from tollway.routing.plan import MAX_CANDIDATES, plan
from tollway.routing.policy import Standing, plain

ROOM = 8192 - 256


def plain_call(model: str = "acme/m", *fallbacks: str, **other: Any) -> Call:
    return msgspec.structs.replace(call(model, *fallbacks), preferences=NO_PREFERENCES, **other)


def served(**other: Any) -> Candidate:
    return msgspec.structs.replace(candidate("a"), **other)


def fast(provider: str, model: str) -> Performance:
    return Performance()


def planned(asked: Call, *candidates: Candidate, standings: dict[str, Standing] | None = None, seed: int = 1) -> Plan:
    made = catalog(*candidates, aliases={"m": "acme/m"})
    return plan(asked, made, standings or {}, seed=seed, measured=fast)


ALONE = (served(),)
BESIDE = (served(), candidate("b", usd=9))
NEW = (served(), candidate("b", "acme/n"))
# Each is short of what another has: the least room, the longest messages.
UNLIKE = (
    served(),
    msgspec.structs.replace(candidate("b"), context_length=4096),
    msgspec.structs.replace(candidate("c"), message_tokens=40),
)
LACKING = (served(), msgspec.structs.replace(candidate("b"), unsupported=frozenset({"seed"})))
CROWD = tuple(candidate(f"p{number}", usd=number % 4) for number in range(MAX_CANDIDATES))
TOO_MANY = (*CROWD, candidate("q"))


@pytest.mark.parametrize(
    ("asked", "candidates", "said"),
    [
        (plain_call(), ALONE, [(1, None)]),
        (plain_call("m"), ALONE, [(1, None)]),
        (plain_call("a:m"), ALONE, [(1, None)]),
        (plain_call(), BESIDE, [(1, None), (2, None)]),
        (plain_call("b:m"), BESIDE, [(1, None), (None, None)]),
        (plain_call("acme/m", "acme/n"), NEW, [(1, None), (2, None)]),
        (plain_call(needs=frozenset({"tools"})), ALONE, [(1, "not known to take tools")]),
        (
            plain_call(fields={"tools": msgspec.Raw(b"[]")}),
            (served(unsupported=frozenset({"tools"})),),
            [(1, "without tools")],
        ),
        (plain_call(prompt=PromptSize(text_bytes=ROOM - 16, messages=1)), ALONE, [(1, None)]),
        (plain_call(prompt=PromptSize(text_bytes=ROOM - 15, messages=1)), ALONE, [(1, "the prompt may not fit")]),
    ],
)
def test_what_there_is_to_say_of_a_candidate_is_said(
    asked: Call, candidates: tuple[Candidate, ...], said: list[tuple[int | None, str | None]]
) -> None:
    assert plain(asked)
    assert [(verdict.rank, verdict.note) for verdict in planned(asked, *candidates).verdicts] == said


@pytest.mark.parametrize(
    ("asked", "candidates", "against"),
    [
        (plain_call(prompt=PromptSize(text_bytes=4096 - 256 - 16, messages=1)), UNLIKE, {}),
        (
            plain_call(prompt=PromptSize(text_bytes=4096 - 256 - 15, messages=1)),
            UNLIKE,
            {"b:acme/m": "the prompt may not fit"},
        ),
        (
            plain_call(prompt=PromptSize(text_bytes=ROOM - 39, messages=1)),
            UNLIKE[::2],
            {"c:acme/m": "the prompt may not fit"},
        ),
        (plain_call(fields={"seed": msgspec.Raw(b"1")}), LACKING, {"b:acme/m": "without seed"}),
    ],
)
def test_what_stands_against_one_of_several_is_said(
    asked: Call, candidates: tuple[Candidate, ...], against: dict[str, str]
) -> None:
    verdicts = planned(asked, *candidates).verdicts
    assert len(verdicts) == len(candidates)
    assert {verdict.candidate: verdict.note for verdict in verdicts if verdict.note} == against


def test_a_lone_candidate_in_trouble_is_said_to_be() -> None:
    made = planned(plain_call(), *ALONE, standings={"a:acme/m": "troubled"})
    assert [(verdict.note, verdict.standing) for verdict in made.verdicts] == [("troubled", "troubled")]


@pytest.mark.parametrize("seed", range(8))
def test_one_of_several_in_trouble_is_tried_last(seed: int) -> None:
    made = planned(plain_call(), *UNLIKE, standings={"b:acme/m": "troubled"}, seed=seed)
    assert [tried.key for tried in made.candidates][-1] == "b:acme/m"
    assert {verdict.candidate: verdict.standing for verdict in made.verdicts}["b:acme/m"] == "troubled"


def test_of_more_than_are_tried_the_rest_are_said_to_be_too_many() -> None:
    assert {verdict.reason for verdict in planned(plain_call(), *CROWD).verdicts} == {None}
    made = planned(plain_call(), *TOO_MANY)
    assert len(made.candidates) == MAX_CANDIDATES
    assert [verdict.reason for verdict in made.verdicts if not verdict.kept] == ["too_many"]


def test_a_name_that_sorts_has_what_was_measured_told() -> None:
    assert planned(plain_call("m:nitro"), *ALONE).verdicts[0].performance == Performance()
    assert planned(plain_call("m"), *ALONE).verdicts[0].performance is None


def test_a_lone_candidate_out_of_service_serves_nobody() -> None:
    with pytest.raises(NoProviderAvailable):
        plan(plain_call(), catalog(*ALONE), {}, seed=1, disabled={"a"})


@pytest.mark.parametrize(
    ("other", "refused"),
    [({"n": 2}, NoProviderAvailable), ({"features": frozenset({"web_search"})}, UnpricedFeature)],
)
def test_a_call_that_filters_look_at_is_not_plain(other: dict[str, Any], refused: type[TollwayError]) -> None:
    asked = plain_call(**other)
    assert not plain(asked)
    with pytest.raises(refused):
        planned(asked, served(one_choice=True))


@given(
    st.sampled_from(["acme/m", "m", "a:m", "m:nitro"]),
    st.sampled_from(
        [ALONE, BESIDE, UNLIKE, LACKING, (served(), *CROWD), (served(), *CROWD[1:]), (served(), *TOO_MANY)]
    ),
    st.sampled_from([frozenset(), frozenset({"tools"})]),
    st.sampled_from([1, 4096 - 256 - 40, 4096 - 256 - 16, 4096, ROOM - 40, ROOM - 39, ROOM - 16, ROOM]),
    st.dictionaries(st.sampled_from(["a:acme/m", "b:acme/m"]), st.sampled_from(["troubled", "cooling", "probing"])),
    st.integers(0, 2**63),
)
def test_the_plan_is_that_of_a_caller_who_says_the_same_in_words(
    name: str,
    candidates: tuple[Candidate, ...],
    needs: frozenset[str],
    size: int,
    standings: dict[str, Standing],
    seed: int,
) -> None:
    asked = plain_call(name, needs=needs, prompt=PromptSize(text_bytes=size, messages=1))
    in_words = msgspec.structs.replace(asked, preferences=Preferences())
    assert plain(asked)
    assert not plain(in_words)
    one = planned(asked, *candidates, standings=standings, seed=seed)
    assert one == planned(in_words, *candidates, standings=standings, seed=seed)
