"""Providers: is each reachable, does it take its key, does it list the configured models; and, where that was asked
for, does each model answer. Asks in the dialects that calls are served with.

What providers say of an error is cut and redacted before it is shown.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tollway.cli.common import SIMULATED_AT
from tollway.cli.doctor.ask import NobodyListens, Reply, Unreached, ask
from tollway.cli.doctor.finding import Area, Finding, counted
from tollway.config.problems import nearest
from tollway.config.schema import Provider
from tollway.domain.errors import ProviderFault, TollwayError
from tollway.domain.plan import Candidate
from tollway.domain.seams import HttpRequest, Transport
from tollway.intake.limits import Limits
from tollway.intake.parse import parse
from tollway.upstream.dialect import Dialect
from tollway.wire import json

ASK_S_MAX = 60.0  # for one token: a model that has to be loaded first may take so long
TOKENS = 1
THINKING_TOKENS = 256  # room to think a little first
MISSING_SHOWN_MAX = 20  # models that a list lacks

SIMULATE = "start it in a terminal of its own: tollway simulate"

REFUSED = {401: "refused the key", 403: "refused the key, or this model or region to it", 402: "wants to be paid"}


class Reached(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as calls reach it, with what is served from it."""

    provider: Provider
    dialect: Dialect
    candidates: tuple[Candidate, ...]


async def providers(
    reached: Sequence[Reached], transport: Transport, *, complete: bool
) -> tuple[list[Finding], list[tuple[str, Reply]]]:
    """What is to be said of each, side by side; and the answers that came, by provider. `complete` asks each model for
    a token, which costs money."""
    looked = await asyncio.gather(*(_look(each, transport, complete) for each in reached))
    findings = [finding for found, _ in looked for finding in found]
    return findings, [reply for _, replies in looked for reply in replies]


async def _look(
    reached: Reached, transport: Transport, complete: bool
) -> tuple[list[Finding], list[tuple[str, Reply]]]:
    area, name = Area("providers"), reached.provider.id
    try:
        reply = await ask(transport, reached.dialect.models())
    except Unreached as why:
        simulated = isinstance(why, NobodyListens) and SIMULATED_AT in reached.provider.base_url
        area.problem(name, why.found, SIMULATE if simulated else why.mend)
        return area.findings, []
    names = await _read(area, reached, reply, transport)
    if complete and reply.status not in REFUSED:
        asked = (_complete(reached, candidate, names, transport) for candidate in reached.candidates)
        area.findings.extend(finding for found in await asyncio.gather(*asked) for finding in found)
    else:
        _missing(area, reached, names)
    return area.findings, [(name, reply)]


async def _read(area: Area, reached: Reached, reply: Reply, transport: Transport) -> list[str]:
    """What the answer to GET /models says; the models it lists, none when it is no list."""
    name, status = reached.provider.id, reply.status
    if status == 200:
        names = listed(reply.body)
        if names is None:
            area.warning(
                name,
                "answers GET /models, but with no list of models as OpenAI's API has",
                f"is {_shown(reached)} the place before {_path(reached, reached.dialect.probe())}? --ask makes sure",
            )
        else:
            area.ok(name, f"reached in {reply.took_ms} ms, lists {counted(len(names), 'model')}")
        return names or []
    fault = reached.dialect.fault(status, reply.headers, reply.body)
    if status in REFUSED:
        area.problem(name, f"{REFUSED[status]} ({fault.detail})", _key_mend(reached.provider))
    elif status in (404, 405):
        await _no_list(area, reached, transport)
    elif status == 429 and fault.outcome == "rate_limited":
        area.warning(name, f"is reached, but at its limit ({fault.detail})", "wait, or ask the provider for more")
    elif 300 <= status < 400:
        area.problem(
            name,
            f"answers with a redirect (status {status}), which a router never follows",
            "write the address it leads to as base_url",
        )
    else:
        area.problem(
            name, f"answers with an error ({fault.detail})", "look at the provider's status page, or its server's log"
        )
    return []


def listed(body: bytes) -> list[str] | None:
    """The names in a list of models; None when it is none. Together answers with a bare array."""
    try:
        value = json.decode(body)
    except ValueError:
        return None
    data = value.get("data") if isinstance(value, dict) else value
    if not isinstance(data, list):
        return None
    return [item["id"] for item in data if isinstance(item, dict) and isinstance(item.get("id"), str)]


def _missing(area: Area, reached: Reached, names: Sequence[str]) -> None:
    """A list may lack what is served all the same (aliases, deployments), so that this is no proof."""
    known = {plain(name) for name in names}
    lacking = [candidate for candidate in reached.candidates if known and plain(candidate.upstream) not in known]
    for candidate in lacking[:MISSING_SHOWN_MAX]:
        area.warning(
            f"{reached.provider.id}:{candidate.model}",
            f'"{candidate.upstream}" is not among the models that it lists',
            f"{_hint(candidate, names)}if that is its name, --ask makes sure; else correct `upstream` (or the id)",
        )
    if len(lacking) > MISSING_SHOWN_MAX:
        more = len(lacking) - MISSING_SHOWN_MAX
        area.warning(reached.provider.id, f"{more} more are not among the models that it lists", "as above")


def _hint(candidate: Candidate, names: Iterable[str]) -> str:
    near = nearest(candidate.upstream, names)
    return f'did you mean "{near}"? ' if near and plain(near) != plain(candidate.upstream) else ""


def plain(name: str) -> str:
    """A model's name as lists are compared: Gemini's has `models/` before each, and a simulated one its scenario."""
    return name.removeprefix("models/").partition("?")[0].lower()


async def _no_list(area: Area, reached: Reached, transport: Transport) -> None:
    """There is no list of models: does the place serve calls? An empty question costs nothing to refuse."""
    name, probe = reached.provider.id, reached.dialect.probe()
    try:
        reply = await ask(transport, probe)
    except Unreached as why:
        area.problem(name, why.found, why.mend)
        return
    if reply.status in REFUSED:
        said = reached.dialect.fault(reply.status, reply.headers, reply.body).detail
        area.problem(name, f"{REFUSED[reply.status]} ({said})", _key_mend(reached.provider))
    elif reply.status not in (404, 405):
        area.ok(
            name, f"reached in {reply.took_ms} ms; it lists no models, so that --ask alone shows whether they are there"
        )
    else:
        path = "" if reached.provider.base_url.partition("?")[0].endswith("/v1") else "; it mostly ends in /v1"
        area.problem(
            name,
            f"there is neither /models nor {_path(reached, probe)} below {_shown(reached)} (status {reply.status})",
            f"correct base_url: what stands before {_path(reached, probe)} in the provider's documentation{path}",
        )


async def _complete(
    reached: Reached, candidate: Candidate, names: Sequence[str], transport: Transport
) -> list[Finding]:
    """One short answer of one model, as a call would ask for it."""
    area, subject = Area("providers"), f"{reached.provider.id}:{candidate.model}"
    dialect = reached.dialect
    try:
        reply = await _asked(reached, candidate, TOKENS, transport)
        if reply.status == 400:
            # A model that thinks first may refuse to be cut off before it has said anything. What is refused is free.
            reply = await _asked(reached, candidate, THINKING_TOKENS, transport)
        if reply.status != 200:
            raise dialect.fault(reply.status, reply.headers, reply.body)
        answer = dialect.answer(reply.body)
    except Unreached as why:
        area.problem(subject, why.found, why.mend)
    except ProviderFault as fault:
        area.problem(
            subject, f"doesn't answer ({fault.detail})", _fault_mend(fault, reached.provider, _hint(candidate, names))
        )
    except TollwayError as refused:
        area.problem(subject, f"can't be asked: {refused.message}", "look at what the model is said to support")
    else:
        area.ok(subject, f"answers in {reply.took_ms} ms{tokens(answer.usage)}")
    return area.findings


async def _asked(reached: Reached, candidate: Candidate, tokens_max: int, transport: Transport) -> Reply:
    """The answer to a short question, of at most so many tokens."""
    # Models that think take their cap under its newer name only.
    cap = "max_completion_tokens" if candidate.reasoning else "max_tokens"
    body = {"model": candidate.model, "messages": [{"role": "user", "content": "Say yes."}], cap: tokens_max}
    call = parse(json.encode(body), id="doctor", limits=Limits())
    request = reached.dialect.request(call, candidate)
    return await ask(transport, request, min(candidate.timeouts.batch, ASK_S_MAX))


def tokens(usage: bytes | None) -> str:
    """What a provider says that an answer used."""
    fields: Mapping[str, Any] = {}
    try:
        value = json.decode(usage or b"null")
        fields = value if isinstance(value, dict) else {}
    except ValueError:
        pass
    counts = [fields.get(name) for name in ("prompt_tokens", "completion_tokens")]
    if not all(isinstance(count, int) for count in counts):
        return ", without saying what it used: calls are billed by our own count"
    return f", {counts[0]} + {counts[1]} tokens used"


def _fault_mend(fault: ProviderFault, provider: Provider, hint: str) -> str:
    if fault.status in REFUSED:
        return _key_mend(provider)
    if fault.status == 404:
        return f"{hint}correct `upstream` (or the id): the provider has no model of that name, or not for this key"
    if fault.status == 429:
        return "wait, or ask the provider for a higher limit or more credit"
    return "read what it says; if it is about the model, correct its entry"


def _key_mend(provider: Provider) -> str:
    if provider.api_key_env is not None:
        return f"check the key in {provider.api_key_env}: is it of this provider, whole, and still good?"
    if provider.api_key_file is not None:
        return f"check the key in {provider.api_key_file}: is it of this provider, whole, and still good?"
    return "it wants a key: name its variable in api_key_env, or its file in api_key_file"


def _shown(reached: Reached) -> str:
    return reached.provider.base_url.partition("?")[0]


def _path(reached: Reached, probe: HttpRequest) -> str:
    """Where calls go, below the base URL."""
    return probe.url.partition("?")[0].removeprefix(_shown(reached).rstrip("/"))
