"""One target under libFuzzer: `python -m fuzz.under_atheris TARGET [libFuzzer's own arguments]`."""

import sys

import atheris

with atheris.instrument_imports(include=["tollway"]):
    from fuzz.targets import TARGETS

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
