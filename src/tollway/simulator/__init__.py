"""An OpenAI-compatible provider that behaves, and misbehaves, on request: for tests, benchmarks and users.

A scenario is written as `key=value` pairs joined by `&` or `,`, values percent-encoded:

    tokens=100&gap=20ms&fault=cut@5

and given in one of four places, each changing only the keys it names, the later ones winning:

    1. the simulator's own               Simulator.start(scenario=parse_scenario("tokens=100"))
    2. the model's name, after a `?`     "model": "sim?fault=cut@3"      (any name before it)
    3. the last user message             "... simulate:tokens=100,gap=20ms"     (up to a blank; can be turned off)
    4. a header                          x-simulate: tokens=100&gap=20ms

All keys are in docs/simulator.md. It must not know anything of the router: it shares no code with what it tests but
the JSON module."""

from tollway.simulator.answer import ABSURD_TOKENS
from tollway.simulator.chat import estimate_prompt_tokens
from tollway.simulator.grammar import KEYS, ScenarioError, parse_scenario, render_scenario
from tollway.simulator.log import Attempt
from tollway.simulator.prose import expected_reasoning, expected_text
from tollway.simulator.scenario import Fault, Scenario
from tollway.simulator.server import Simulator, serve

__all__ = [
    "ABSURD_TOKENS",
    "KEYS",
    "Attempt",
    "Fault",
    "Scenario",
    "ScenarioError",
    "Simulator",
    "estimate_prompt_tokens",
    "expected_reasoning",
    "expected_text",
    "parse_scenario",
    "render_scenario",
    "serve",
]
