"""What providers can take beyond the plain API, in the words of OpenRouter's `supported_parameters`: names of request
fields, and capabilities that a field or a content part asks for. Must not know who supports what.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

# Fields that every server of this API takes; one that doesn't is configured to say so.
ORDINARY = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "n",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "user",
    }
)
# What a call is, how its answer is read, and what it may cost at most: never dropped from a request.
KEPT = frozenset({"model", "messages", "stream", "stream_options", "n", "max_tokens", "max_completion_tokens"})

# What a content part asks of a model, by the part's kind.
PART_NEEDS: Mapping[str, str] = MappingProxyType(
    {
        "image_url": "vision",
        "image": "vision",
        "input_audio": "audio",
        "audio_url": "audio",
        "file": "file",
        "document": "file",
        "video_url": "video",
    }
)

# Each word on the left comes with the one on the right, and goes with it.
PART_OF: Mapping[str, str] = MappingProxyType(
    {
        "tool_choice": "tools",
        "parallel_tool_calls": "tools",
        "functions": "tools",
        "function_call": "tools",
        "top_logprobs": "logprobs",
    }
)


def supported(words: Collection[str]) -> frozenset[str]:
    """`words` and what comes with them."""
    found = {*words, *(part for part, whole in PART_OF.items() if whole in words)}
    if "structured_outputs" in found:
        found.add("response_format")  # who keeps to a schema can write JSON
    return frozenset(found)


def lacking(words: Collection[str]) -> frozenset[str]:
    """`words`, known not to be supported, and what goes with them."""
    found = {*words, *(part for part, whole in PART_OF.items() if whole in words)}
    if "response_format" in found:
        found.add("structured_outputs")
    return frozenset(found)


def dropped(fields: Iterable[str], needs: Collection[str], lacks: Collection[str]) -> list[str]:
    """Those of a request's `fields` that a provider which `lacks` (as `lacking` gives them) can't be sent."""
    found = [name for name in fields if name in lacks and name not in KEPT]
    if "structured_outputs" in needs and "structured_outputs" in lacks and "response_format" not in lacks:
        found.append("response_format")
    return found
