"""How many calls and connections fit into the files that a process may have open. Pure.

A router that runs out of them can neither ask a provider nor answer a caller, so it takes no more than fits.
"""

from typing import NamedTuple

FILES_BESIDE = 100  # the books, the listeners, the log, idle connections to providers
FILES_A_CALL = 2  # its caller's connection and its provider's


class Room(NamedTuple):
    """At once."""

    calls: int
    connections: int


def room(files: int | None, calls: int, connections: int) -> Room:
    """What of `calls` and `connections` fits into `files`; None is no limit. Calls come first: each has a connection of
    its caller's, and there are as many left over for callers that have none as there can be."""
    if files is None:
        return Room(calls, connections)
    left = max(FILES_A_CALL, files - FILES_BESIDE)
    calls = min(calls, left // FILES_A_CALL)
    return Room(calls, min(connections, left - calls))


def needed(calls: int, connections: int) -> int:
    """Files for so many calls, whose callers are among so many connections."""
    return calls + max(calls, connections) + FILES_BESIDE
