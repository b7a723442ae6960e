"""How many calls and connections fit into the files that a process may have open."""

import pytest

from tollway.limits.files import FILES_BESIDE, Room, needed, room

CALLS, CONNECTIONS = 2_000, 10_000


def test_without_a_limit_of_files_everything_fits() -> None:
    assert room(None, CALLS, CONNECTIONS) == (CALLS, CONNECTIONS)


@pytest.mark.parametrize("wanted", [Room(2_000, 10_000), Room(2_000, 500), Room(2, 2)])
def test_what_is_needed_is_the_least_in_which_everything_fits(wanted: Room) -> None:
    assert room(needed(*wanted), *wanted) == wanted
    assert room(needed(*wanted) - 1, *wanted) != wanted


@pytest.mark.parametrize("files", [1, FILES_BESIDE, FILES_BESIDE + 2, 256, 1_024, 4_096, 12_000, 1_000_000])
def test_each_call_has_two_files_and_at_least_one_call_fits(files: int) -> None:
    fits = room(files, CALLS, CONNECTIONS)
    assert 1 <= fits.calls <= min(fits.connections, CALLS)
    assert fits.connections <= CONNECTIONS
    assert fits.calls + fits.connections + FILES_BESIDE <= max(files, FILES_BESIDE + 2)


def test_when_files_are_short_the_last_to_give_way_are_calls() -> None:
    assert room(5_000, CALLS, CONNECTIONS) == (CALLS, 2_900)
    assert room(1_024, CALLS, CONNECTIONS) == (462, 462)
