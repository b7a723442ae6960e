"""What a router's metrics say of recounts, and the tokens of a text by the same tokenizer."""

from collections.abc import Mapping

import splintr

from helpers.running import Running

MODEL = "gpt-4o"  # whose tokens are o200k_base
ALL = '[billing]\nrecount = "100%"\n'


def tokens(text: str, vocabulary: str = "o200k_base") -> int:
    return len(splintr.Tokenizer.from_pretrained(vocabulary).encode_ordinary(text))


def metric(router: Running, name: str) -> Mapping[tuple[str, ...], int]:
    """The values of a counter by its labels' values, in the order of their names."""
    found = {}
    for line in router.router.metrics.text().decode().splitlines():
        if line.startswith(f"{name}{{"):
            labels, _, value = line.removeprefix(f"{name}{{").rpartition("} ")
            pairs = sorted(pair.split("=", 1) for pair in labels.split(","))
            found[tuple(value.strip('"') for _, value in pairs)] = int(float(value))
    return found


def outcomes(router: Running) -> Mapping[str, int]:
    """Of recounts of the one provider."""
    return {outcome: count for (outcome, _), count in metric(router, "tollway_recounts_total").items()}


def alarms(router: Running) -> int:
    return metric(router, "tollway_alarms_total")[("usage_deviates",)]
