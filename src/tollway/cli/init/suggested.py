"""Models to begin with at each ready-made provider: a strong one, then cheaper ones, all of them priced by the book.

Data. Context windows are those of genai-prices 0.2.3 (2026-11-22), Cohere's those of its documentation.
"""

from collections.abc import Mapping
from types import MappingProxyType

import msgspec


class Suggested(msgspec.Struct, frozen=True):
    """`upstream` is the provider's own name for it; `context_length` is in tokens."""

    upstream: str
    context_length: int


SUGGESTED: Mapping[str, tuple[Suggested, ...]] = MappingProxyType(
    {
        "openai": (Suggested("gpt-6.1-sol", 1_050_000), Suggested("gpt-6-luna", 1_050_000)),
        "anthropic": (
            Suggested("claude-opus-5-5", 1_000_000),
            Suggested("claude-sonnet-5-5", 1_000_000),
            Suggested("claude-haiku-5-5", 1_000_000),
        ),
        "google": (Suggested("gemini-3.8-flash", 1_000_000), Suggested("gemini-3.5-flash-lite", 1_000_000)),
        "deepseek": (Suggested("deepseek-v4-pro", 1_000_000), Suggested("deepseek-v4-flash", 1_000_000)),
        "groq": (Suggested("openai/gpt-oss-120b", 131_072), Suggested("openai/gpt-oss-20b", 131_072)),
        "together": (Suggested("openai/gpt-oss-120b", 131_072),),
        "fireworks": (
            Suggested("accounts/fireworks/models/gpt-oss-120b", 131_072),
            Suggested("accounts/fireworks/models/gpt-oss-20b", 131_072),
        ),
        "mistral": (Suggested("mistral-medium-3-5", 262_144), Suggested("mistral-small-2603", 262_144)),
        "xai": (Suggested("grok-4.7", 500_000), Suggested("grok-4-1-fast-non-reasoning", 2_000_000)),
        "openrouter": (
            Suggested("openai/gpt-6.1-sol", 1_050_000),
            Suggested("anthropic/claude-sonnet-5.5", 1_000_000),
            Suggested("google/gemini-3.8-flash", 1_048_576),
        ),
        "cerebras": (Suggested("gpt-oss-120b", 131_072), Suggested("qwen-3.8-27b", 65_536)),
        "cohere": (Suggested("command-a-03-2025", 256_000), Suggested("command-r7b-12-2024", 128_000)),
        "moonshot": (Suggested("kimi-k3", 1_048_576), Suggested("kimi-k2.6", 262_144)),
        "zai": (Suggested("GLM-5.3", 1_000_000), Suggested("GLM-5.3-Flash", 1_000_000)),
    }
)
