"""One target under libFuzzer: `python -m fuzz.under_atheris TARGET PROGRAM [libFuzzer's own arguments]`.

PROGRAM is what libFuzzer takes for itself: to merge it starts that again, with other arguments."""

import sys

import atheris

with atheris.instrument_imports(include=["tollway"]):
    from fuzz.targets import TARGETS

if __name__ == "__main__":
    _, name, *arguments = sys.argv
    atheris.Setup(arguments, TARGETS[name])
    atheris.Fuzz()
