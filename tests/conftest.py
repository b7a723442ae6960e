"""What holds for every test: the marks `node`, `model` and `nginx` skip a test, or fail it, before it starts."""

import pytest

from helpers.require import REQUIREMENTS


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, require in REQUIREMENTS.items():
        if item.get_closest_marker(mark) is not None:
            require()
