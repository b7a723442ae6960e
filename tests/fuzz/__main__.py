"""`make fuzz`: every target in turn, guided by coverage, for so many seconds in all. What is found on the way is kept
in .fuzz/ for the next run; what breaks a property is kept there too, and how to see it again is said.
"""

import argparse
import hashlib
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from fuzz.targets import HERE, TARGETS, corpus, words

ROOT = HERE.parents[1]
FOUND = ROOT / ".fuzz"
INPUT_BYTES_MAX = 1024  # what a stream, a head or a message needs to be odd; larger ones are slow to try
KEPT_BYTES_MAX = 512  # of an input in the repository
INPUT_S_MAX = 10  # one that takes longer is a hang
MEMORY_MB_MAX = 1024  # one that takes more is a leak
MERGE_S_MAX = 300
START_S_MAX = 60  # beyond the time that was given: imports, and trying the corpus


class Ran(NamedTuple):
    target: str
    inputs: int
    covered: int
    new: int
    crash: Path | None


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="over all targets (300)")
    parser.add_argument("--target", choices=sorted(TARGETS), action="append", help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0, help="of what is tried; the same finds the same (any)")
    parser.add_argument("--keep", action="store_true", help="add to the corpus what reaches something new")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="try one input on the target that is named")
    given = parser.parse_args()
    names = given.target or list(TARGETS)
    if given.replay is not None:
        for name in names:
            TARGETS[name](given.replay.read_bytes())
        print(f"{given.replay}: every property holds")
        return 0
    if importlib.util.find_spec("atheris") is None:
        print(
            "fuzzing needs atheris, which make fuzz installs (Linux on x86_64); make test tries the corpus without it"
        )
        return 2
    ran = [fuzz(name, max(1, given.seconds // len(names)), given.seed) for name in names]
    if given.keep:
        for name in names:
            keep(name)
    say(ran)
    return int(any(one.crash for one in ran))


def fuzz(target: str, seconds: int, seed: int) -> Ran:
    """Try `target` for `seconds`, from its corpus and what earlier runs found. A `seed` of 0 is any."""
    found = FOUND / target
    found.mkdir(parents=True, exist_ok=True)
    before = set(found.iterdir())
    crashes = set(FOUND.glob(f"{target}-*"))
    print(f"{target}: {seconds} s ...", flush=True)
    raised, said = atheris(
        target,
        seconds + START_S_MAX,
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={INPUT_BYTES_MAX}",
        f"-timeout={INPUT_S_MAX}",
        f"-rss_limit_mb={MEMORY_MB_MAX}",
        f"-artifact_prefix={FOUND}/{target}-",
        f"-dict={words(target)}",
        "-print_final_stats=1",
        str(found),
        str(corpus(target)),
    )
    crash = next(iter(set(FOUND.glob(f"{target}-*")) - crashes), None)
    if crash is not None:
        print(raised)
    inputs = re.search(r"number_of_executed_units: (\d+)", said)
    covered = re.findall(r"\bft: (\d+)", said)
    if inputs is None or not covered:
        print(said[-2000:])
        raise SystemExit(f"{target} did not run")
    return Ran(target, int(inputs[1]), int(covered[-1]), len(set(found.iterdir()) - before), crash)


def keep(target: str) -> None:
    """Take over what reaches something that no input of the corpus does."""
    with tempfile.TemporaryDirectory() as folder:
        program, merged = Path(folder) / "again", Path(folder) / "merged"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fuzz.under_atheris {target} "$0" "$@"\n')
        program.chmod(0o700)
        shutil.copytree(corpus(target), merged)
        merge = ["-merge=1", f"-max_len={KEPT_BYTES_MAX}", str(merged), str(FOUND / target)]
        atheris(target, MERGE_S_MAX, *merge, program=str(program))
        print(f"{target}: {keep_small(merged, corpus(target))} kept")


def keep_small(found: Path, kept: Path) -> int:
    """Copy what is new and small, under a short name, and say how much that was."""
    known, count = {path.read_bytes() for path in kept.iterdir()}, 0
    for path in found.iterdir():
        data = path.read_bytes()
        if data not in known and len(data) <= KEPT_BYTES_MAX:
            (kept / hashlib.sha256(data).hexdigest()[:12]).write_bytes(data)
            count += 1
    return count


def atheris(target: str, seconds: float, *arguments: str, program: str = "fuzz") -> tuple[str, str]:
    """What was raised, and what libFuzzer said."""
    command = [sys.executable, "-m", "fuzz.under_atheris", target, program, *arguments]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, timeout=seconds, check=False)
    return done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")


def say(ran: list[Ran]) -> None:
    print(f"\n{'target':12}{'inputs':>12}{'covered':>10}{'new':>8}  broken by")
    for one in ran:
        print(f"{one.target:12}{one.inputs:>12,}{one.covered:>10,}{one.new:>8,}  {one.crash or 'nothing'}")
    for one in ran:
        if one.crash is not None:
            again = f'make fuzz ARGS="--target {one.target} --replay {one.crash}"'
            print(f"\nSee it again: {again}\nWhen it is mended, keep it by name in {corpus(one.target)}.")


if __name__ == "__main__":
    sys.exit(main())
