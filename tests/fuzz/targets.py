"""What is fuzzed: for each target a function that takes any bytes, and raises when a property doesn't hold."""

from collections.abc import Callable
from pathlib import Path

from fuzz import answers, faults, requests, siwx, sse

HERE = Path(__file__).parent

TARGETS: dict[str, Callable[[bytes], None]] = {
    "sse": sse.check,
    "answers": answers.check,
    "requests": requests.check,
    "faults": faults.check,
    "siwx": siwx.check,
}


def corpus(target: str) -> Path:
    """Inputs that are kept: small, and each reaching what no other does; those that once broke something are named."""
    return HERE / "corpus" / target


def words(target: str) -> Path:
    """libFuzzer's dictionary of what an input may be made of."""
    return HERE / "words" / f"{target}.txt"
