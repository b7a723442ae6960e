"""From a request to the script of its answer: which scenario holds, whether its fault strikes this time, what to log.

Knows nothing of sockets."""

import random
import time
from collections.abc import Callable

from tollway.simulator import http
from tollway.simulator.answer import Shape, render_choices, shape_answer
from tollway.simulator.chat import (
    MARKER,
    ChatRefused,
    ChatRequest,
    count_prompt,
    prompt_knobs,
    read_chat,
    refuse_unknown,
)
from tollway.simulator.form import formed, has_form
from tollway.simulator.gates import Barrier, Lockstep, Named, Threshold, Wake
from tollway.simulator.grammar import ScenarioError, parse_scenario
from tollway.simulator.http import HttpMessage
from tollway.simulator.log import Exchange, Log
from tollway.simulator.refusals import error_body
from tollway.simulator.scenario import Scenario
from tollway.simulator.script import BENT, Halt, Script, Turn, bend_head, play_batch, play_before_head
from tollway.simulator.stream import StreamPlay
from tollway.wire import json

CHAT_PATH = b"/v1/chat/completions"
RECIPES_MAX = 512  # scenarios kept parsed; prompts may carry any number of them
SHAPES_MAX = 8  # combinations of n, limit and top_logprobs kept a scenario
CHOICES_KEPT_BYTES_MAX = 65_536  # a longer batch text is rendered anew each time
MODELS_COUNTED_MAX = 10_000  # model names whose attempts are counted for fault_times and fault_rate


class Recipe:
    """A scenario with what can be rendered once for all its answers."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._shapes: dict[tuple[int, int | None, int | None], tuple[Shape, bytes | None]] = {}
        self._spared: Recipe | None = None

    @property
    def spared(self) -> "Recipe":
        """The recipe for an attempt that the fault spares."""
        if self._spared is None:
            self._spared = Recipe(self.scenario.healthy())
        return self._spared

    def shape(self, request: ChatRequest, *, batch: bool) -> tuple[Shape, bytes | None]:
        """The shape, and for a batch answer its rendered choices unless they are too long to keep."""
        wanted = request.n or 1, request.limit, request.alternatives
        known = self._shapes.get(wanted)
        if known is None:
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            known = self._shapes[wanted] = shape_answer(self.scenario, *wanted), None
        if batch and known[1] is None:
            rendered = render_choices(known[0])
            if len(rendered) > CHOICES_KEPT_BYTES_MAX:
                return known[0], rendered
            known = self._shapes[wanted] = known[0], rendered
        return known


class Faults:
    """Whether an attempt's fault strikes, for each model name: by a seeded draw (fault_rate), so many times."""

    def __init__(self) -> None:
        self._struck: dict[str, int] = {}
        self._draws: dict[tuple[str, int], random.Random] = {}

    def strikes(self, model: str, scenario: Scenario) -> bool:
        if scenario.fault_rate < 1.0 and self._draw(model, scenario.seed) >= scenario.fault_rate:
            return False
        if scenario.fault_times is None:
            return True
        struck = self._struck.get(model, 0)
        if struck >= scenario.fault_times:
            return False
        if len(self._struck) >= MODELS_COUNTED_MAX:
            self._struck.clear()
        self._struck[model] = struck + 1
        return True

    def clear(self) -> None:
        self._struck.clear()
        self._draws.clear()

    def _draw(self, model: str, seed: int) -> float:
        generator = self._draws.get((model, seed))
        if generator is None:
            if len(self._draws) >= MODELS_COUNTED_MAX:
                self._draws.clear()
            generator = self._draws[model, seed] = random.Random(f"{seed}:{model}")  # noqa: S311 - repeatable chance
        return generator.random()


class Service:
    """The simulator without its sockets. `nonce` makes its answers' ids different from another simulator's."""

    def __init__(self, scenario: Scenario, log: Log, *, knobs: bool, nonce: str) -> None:
        self.log = log
        self.faults = Faults()
        self.barriers = Named(Barrier)
        self.locksteps = Named(Lockstep)
        self.seen = Threshold()
        self.dates = http.Dates()
        self._base = scenario
        self._knobs = knobs
        self._id = b"chatcmpl-" + nonce.encode() + b"%012x"
        self._sequence = 0
        self._running = 0
        self._when_idle: list[Wake] = []
        self._recipes: dict[tuple[str, bytes, str], Recipe] = {}

    @property
    def scenario(self) -> Scenario:
        return self._base

    @scenario.setter
    def scenario(self, scenario: Scenario) -> None:
        self._base = scenario
        self._recipes.clear()

    def begin(self, message: HttpMessage) -> tuple[Exchange, Script]:
        """Log a POST under /v1 and start its answer. finish() is called when it is over, whatever happened."""
        self._sequence += 1
        now = time.time()
        exchange = Exchange(self._sequence, now, message.target, message.headers, message.body)
        self._running += 1
        self.log.add(exchange)
        self.seen.set(self._sequence)
        if message.target.partition(b"?")[0] != CHAT_PATH:
            wrong = f"unknown path; the simulator serves POST {CHAT_PATH.decode()}"
            return exchange, self._refuse(message, exchange, 404, error_body(wrong, "invalid_request_error", None))
        try:
            return exchange, self._chat(message, exchange, int(now))
        except ChatRefused as refused:
            body = error_body(str(refused), "invalid_request_error", None, refused.param)
        except ScenarioError as wrong_scenario:
            body = error_body(str(wrong_scenario), "invalid_request_error", "invalid_scenario")
        return exchange, self._refuse(message, exchange, 400, body)

    def finish(self, exchange: Exchange, ended: str, *, client_closed: bool) -> None:
        if exchange.ended is None:
            exchange.ended = ended
        exchange.client_closed = client_closed
        self._running -= 1
        if not self._running and self._when_idle:
            waiting, self._when_idle = self._when_idle, []
            for wake in waiting:
                wake()

    def when_idle(self, wake: Callable[[], None]) -> None:
        """Call `wake` when no attempt is running: at once, or when the last one ends."""
        if self._running:
            self._when_idle.append(wake)
        else:
            wake()

    def _chat(self, message: HttpMessage, exchange: Exchange, now: int) -> Script:
        request = read_chat(message.body)
        exchange.model = request.model
        exchange.stream = bool(request.stream)
        knobs = prompt_knobs(request.messages) if self._knobs and MARKER in message.body else ""
        recipe = self._recipe(request.model, message.simulate, knobs)
        scenario = recipe.scenario
        if scenario.refuse:
            refuse_unknown(message.body, request, frozenset(scenario.refuse))
        limited = scenario.fault_times is not None or scenario.fault_rate < 1.0
        if limited and scenario.faulty and not self.faults.strikes(request.model, scenario):
            recipe = recipe.spared
            scenario = recipe.scenario
        if has_form(request) and (own := formed(scenario, request)) is not scenario:
            recipe = Recipe(own)
            scenario = own
        streams = exchange.stream and not (scenario.fault is not None and scenario.fault.name == "unstreamed")
        turn = self._turn(message, exchange, now, request, scenario)
        turn.shape, turn.choices = recipe.shape(request, batch=not streams)
        if scenario.barrier is None and scenario.delay == 0.0 and not scenario.faulty:
            return StreamPlay(turn).play() if streams else play_batch(turn)
        return _play(turn, streams)

    def _turn(
        self, message: HttpMessage, exchange: Exchange, now: int, request: ChatRequest, scenario: Scenario
    ) -> Turn:
        turn = Turn()
        turn.exchange = exchange
        turn.request = request
        turn.scenario = scenario
        turn.id = scenario.id.encode() if scenario.id is not None else self._id % exchange.sequence
        turn.model = json.encode(scenario.model if scenario.model is not None else request.model)
        turn.created = now
        turn.prompt = count_prompt(request.messages) if scenario.prompt_tokens is None else scenario.prompt_tokens
        turn.date = self.dates.line(now)
        turn.keep_alive = message.keep_alive
        turn.modern = message.modern
        turn.barrier = self.barriers[scenario.barrier] if scenario.barrier is not None else None
        turn.lockstep = self.locksteps[scenario.lockstep] if scenario.lockstep is not None else None
        return turn

    def _recipe(self, model: str, header: bytes, knobs: str) -> Recipe:
        """The simulator's own scenario, changed by the model's keys, then the prompt's, then the header's."""
        recipe = self._recipes.get((model, header, knobs))
        if recipe is None:
            scenario = self._base
            for text in (model.partition("?")[2], knobs, header.decode("latin-1")):
                scenario = parse_scenario(text, scenario)
            if len(self._recipes) >= RECIPES_MAX:
                self._recipes.clear()
            recipe = self._recipes[model, header, knobs] = Recipe(scenario)
        return recipe

    def _refuse(self, message: HttpMessage, exchange: Exchange, status: int, body: bytes) -> Script:
        exchange.ended, exchange.status = "refused", status
        return iter((self.reply(message, status, body), Halt.KEEP))

    def reply(self, message: HttpMessage, status: int, body: bytes) -> bytes:
        """A whole JSON answer that is no simulation."""
        extra = b"" if message.keep_alive else b"connection: close\r\n"
        return http.head(status, self.dates.line(int(time.time())), http.JSON, len(body), extra) + body


def _play(turn: Turn, streams: bool) -> Script:
    yield from play_before_head(turn)
    if turn.exchange.ended is None:
        answer = StreamPlay(turn).play() if streams else play_batch(turn)
        yield from bend_head(turn, answer) if turn.scenario.fault_name in BENT else answer
