"""What holds for every test: the marks `node`, `model` and `nginx` skip a test, or fail it, before it starts; and no
package that a test imports changes what the router runs under."""

import sys

import pytest

from helpers.require import REQUIREMENTS

RECURSION_LIMIT = sys.getrecursionlimit()


def pytest_runtest_setup(item: pytest.Item) -> None:
    # py_ecc, which eth-account brings, raises the limit to 100,000 when it is imported: a runaway recursion would then
    # end the process instead of a test.
    sys.setrecursionlimit(RECURSION_LIMIT)
    for mark, require in REQUIREMENTS.items():
        if item.get_closest_marker(mark) is not None:
            require()
