"""The limit of open files, which a process raises by itself as far as it may."""

import resource
import subprocess
import sys

RAISED = """
import resource
from tollway.cli.open_files import raise_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (64, {hard}))
print(raise_open_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def raised(hard: str) -> list[str]:
    """What a process says that began with 64 files."""
    ran = subprocess.run([sys.executable, "-c", RAISED.format(hard=hard)], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    assert raised("256") == ["256", "256", "256"]


def test_a_limit_that_can_not_be_raised_is_taken_as_it_is() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    told, soft, _ = raised("resource.getrlimit(resource.RLIMIT_NOFILE)[1]")
    assert told == soft
    assert int(soft) == hard or hard == resource.RLIM_INFINITY
