"""Tollway: a self-hosted LLM router you sign in to with a wallet."""

__version__ = "0.1.0"
