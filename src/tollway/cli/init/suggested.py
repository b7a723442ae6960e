"""Models to begin with at each ready-made provider, by its own names: a strong one, then cheaper ones. Data; the price
book knows what each costs and how much it takes.
"""

from collections.abc import Mapping
from types import MappingProxyType

SUGGESTED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "openai": ("gpt-6.1-sol", "gpt-6-luna"),
        "anthropic": (
            "claude-opus-5-5",
            "claude-sonnet-5-5",
            "claude-haiku-5-5",
        ),
        "google": ("gemini-3.8-flash", "gemini-3.5-flash-lite"),
        "deepseek": ("deepseek-v4-pro", "deepseek-v4-flash"),
        "groq": ("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
        "together": ("openai/gpt-oss-120b",),
        "fireworks": (
            "accounts/fireworks/models/gpt-oss-120b",
            "accounts/fireworks/models/gpt-oss-20b",
        ),
        "mistral": ("mistral-medium-3-5", "mistral-small-2603"),
        "xai": ("grok-4.7", "grok-4-1-fast-non-reasoning"),
        "openrouter": (
            "openai/gpt-6.1-sol",
            "anthropic/claude-sonnet-5.5",
            "google/gemini-3.8-flash",
        ),
        "cerebras": ("gpt-oss-120b", "qwen-3.8-27b"),
        "cohere": ("command-a-03-2025", "command-r7b-12-2024"),
        "moonshot": ("kimi-k3", "kimi-k2.6"),
        "zai": ("GLM-5.3", "GLM-5.3-Flash"),
    }
)
