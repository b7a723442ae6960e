"""What the simulator offers beside chat: its models, its log, and the gates for tests in other processes.

Each entry of the table is a method, a path and what it does."""

from collections.abc import Callable
from urllib.parse import parse_qs

from tollway.simulator.gates import Reach
from tollway.simulator.http import HttpMessage
from tollway.simulator.log import as_json
from tollway.simulator.refusals import error_body
from tollway.simulator.script import Halt, Script
from tollway.simulator.service import CHAT_PATH, Service
from tollway.wire import json

COUNT_MAX = 1_000_000_000  # steps and attempts in one command

_MODEL = {"id": "sim", "object": "model", "created": 1_700_000_000, "owned_by": "simulator"}

Query = dict[str, str]
Handler = Callable[[Service, Query], "Result"]
Result = tuple[Reach | None, Callable[[], object]]  # wait for this, then answer with that


class ControlError(ValueError):
    """A control request without what it needs; the message says what that is."""


def play_control(service: Service, message: HttpMessage) -> Script:
    """Answer anything that is no POST under /v1."""
    path, _, query = message.target.decode("latin-1").partition("?")
    given = {name: values[-1] for name, values in parse_qs(query).items()}
    status, answer = 200, b""
    handler = HANDLERS.get((message.method, path))
    if message.method == b"GET" and path.startswith("/v1/models/"):
        answer = json.encode({**_MODEL, "id": path.removeprefix("/v1/models/")})
    elif handler is None:
        status = 405 if path in _PATHS else 404
        answer = error_body(f"the simulator serves POST /v1/chat/completions and {_SERVED}", "not_found", None)
    else:
        try:
            gate, result = handler(service, given)
        except ControlError as error:
            status, answer = 400, error_body(str(error), "invalid_request_error", None)
        else:
            if gate is not None:
                yield gate
            answer = json.encode(result())
    yield service.reply(message, status, answer)
    yield Halt.KEEP


def _name(query: Query, key: str) -> str:
    if not query.get(key):
        raise ControlError(f"say which: ?{key}=...")
    return query[key]


def _count(query: Query, key: str, default: int) -> int:
    text = query.get(key, str(default))
    if not (text.isascii() and text.isdigit()) or int(text) > COUNT_MAX:
        raise ControlError(f"{key} must be a whole number up to {COUNT_MAX}")
    return int(text)


def _models(service: Service, query: Query) -> Result:
    return None, lambda: {"object": "list", "data": [_MODEL]}


def _healthz(service: Service, query: Query) -> Result:
    return None, lambda: {"status": "ok"}


def _log(service: Service, query: Query) -> Result:
    after = _count(query, "after", 0)
    return None, lambda: {"attempts": [as_json(attempt) for attempt in service.log.records(after)]}


def _clear(service: Service, query: Query) -> Result:
    service.log.clear()
    service.faults.clear()
    return None, lambda: {"attempts": []}


def _release(service: Service, query: Query) -> Result:
    barrier = service.barriers[_name(query, "name")]
    count = _count(query, "count", 0) if "count" in query else None
    released = barrier.release(count)
    return None, lambda: {"released": released}


def _waiting(service: Service, query: Query) -> Result:
    held = service.barriers[_name(query, "name")].held
    return held.reach(_count(query, "count", 0)), lambda: {"waiting": held.value}


def _step(service: Service, query: Query) -> Result:
    lockstep = service.locksteps[_name(query, "id")]
    lockstep.step(_count(query, "events", 1))
    return None, lambda: {"sent": lockstep.sent.value}


def _each(service: Service, query: Query) -> Result:
    went = service.locksteps[_name(query, "id")].each()
    return None, lambda: {"went": went}


def _free(service: Service, query: Query) -> Result:
    lockstep = service.locksteps[_name(query, "id")]
    lockstep.free()
    return None, lambda: {"sent": lockstep.sent.value}


def _sent(service: Service, query: Query) -> Result:
    sent = service.locksteps[_name(query, "id")].sent
    return sent.reach(_count(query, "count", 0)), lambda: {"sent": sent.value}


def _seen(service: Service, query: Query) -> Result:
    return service.seen.reach(_count(query, "count", 0)), lambda: {"seen": service.seen.value}


HANDLERS: dict[tuple[bytes, str], Handler] = {
    (b"GET", "/v1/models"): _models,
    (b"GET", "/healthz"): _healthz,
    (b"GET", "/health"): _healthz,  # where vLLM answers it, and routers for vLLM ask
    (b"GET", "/log"): _log,
    (b"DELETE", "/log"): _clear,
    (b"GET", "/seen"): _seen,
    (b"POST", "/barrier/release"): _release,
    (b"GET", "/barrier/waiting"): _waiting,
    (b"POST", "/lockstep/step"): _step,
    (b"POST", "/lockstep/each"): _each,
    (b"POST", "/lockstep/free"): _free,
    (b"GET", "/lockstep/sent"): _sent,
}
_PATHS = {CHAT_PATH.decode(), *(path for _, path in HANDLERS)}
_SERVED = ", ".join(f"{method.decode()} {path}" for method, path in HANDLERS)
