from itertools import count

from tollway.routing.nearest import (
    NAME_LENGTH_MAX,
    NAMES_SCANNED_MAX,
    SUGGESTIONS_MAX,
    did_you_mean,
    nearest,
    shown,
)


def test_the_nearest_comes_first_and_there_are_at_most_three() -> None:
    near = nearest("gpt-4o", [f"gpt-4{letter}" for letter in "abcdefghij"] + ["gpt-4oo"])
    assert near[0] == "gpt-4oo"
    assert len(near) == SUGGESTIONS_MAX


def test_nothing_near_is_no_suggestion() -> None:
    assert nearest("zzz", ["gpt-4o"]) == ()
    assert did_you_mean(nearest("zzz", ["gpt-4o"])) == ""


def test_a_name_without_its_maker_or_with_another_ones_is_near_however_long_that_is() -> None:
    names = ["sin", "simulator/sim", "a-maker-with-a-long-name/SIM", "simulator/other"]
    assert nearest("sim", names) == ("simulator/sim", "a-maker-with-a-long-name/SIM", "sin")
    assert nearest("another-one/sim", ["simulator/sim"]) == ("simulator/sim",)


def test_a_name_too_long_to_be_a_misspelling_is_not_compared() -> None:
    long = "x" * (NAME_LENGTH_MAX + 1)
    assert nearest(long[:-1], [long]) == (long,)
    assert nearest(long, [long]) == ()


def test_only_so_many_names_are_looked_at() -> None:
    seen = []
    nearest("gpt", (seen.append(n) or f"name-{n}" for n in count()))
    assert len(seen) == NAMES_SCANNED_MAX


def test_a_long_name_is_shown_cut() -> None:
    assert shown("m\n") == r"'m\n'"
    assert len(shown("x" * 1_000)) == NAME_LENGTH_MAX + 3
