"""The OpenAPI 3.1 description of the HTTP interface, built once: every path, what it takes, and all it may answer.

Paths stand here and in routes.py, and a test compares them. It must not know configuration: two routers of one version
describe themselves in the same words.
"""

from typing import Any, NamedTuple

from tollway.api.error_guide import ADVICE
from tollway.api.openapi_schemas import STRING, Schema, errors, ref, schemas
from tollway.api.session import PAGE_DEFAULT, PAGE_MAX
from tollway.api.usage import DAYS_DEFAULT, DAYS_MAX, USAGE_BY
from tollway.intake import idempotency

VERSION = "3.1.0"
PREFIX = "/api/v1"

Parameter = dict[str, Any]
Answers = dict[str, dict[str, Any]]


class Operation(NamedTuple):
    """`codes` are those of the errors that it may answer besides EVERYWHERE's, and SIGN_IN's when `signed`."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    answers: Answers
    signed: bool = False
    codes: frozenset[str] = frozenset()
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    about: str = ""


EVERYWHERE = frozenset(
    {"invalid_request", "method_not_allowed", "request_timeout", "headers_too_large", "internal_error"}
)
SIGN_IN = frozenset(
    {kind.code for kind in errors() if kind.status == 401}
    | {"account_not_allowed", "ledger_unavailable", "rate_limited"}
)
NOT_OF_CHAT = frozenset({"not_found", "unsupported_endpoint"})
CHAT = frozenset(kind.code for kind in errors()) - NOT_OF_CHAT

REQUEST_ID: Schema = {"description": "This answer's own id (UUIDv7).", "schema": STRING, "required": True}
STREAMING = (
    "Server-sent events, `data: <ChatCompletionChunk>`, ended by `data: [DONE]`; comments (`: keep-alive`) fill long "
    "silences. The ending is sent once the call is booked. A stream that fails after it has begun ends with an event "
    "that carries an Error, and without `[DONE]`: what came before it is not a whole answer."
)
INTRODUCTION = (
    "An LLM router that speaks OpenAI's API and bills the wallet that signed in. Every path under `/api/v1` is served "
    "under `/v1` too, for clients that expect it; what takes GET takes HEAD. Every answer has an `x-request-id`, and "
    "every error is JSON in OpenAI's shape."
)


def _header(description: str) -> Schema:
    return {"description": description, "schema": STRING}


RATE_LIMITS: dict[str, Schema] = {
    f"x-ratelimit-{name}-{kind}": _header(f"{what}; where the wallet has a limit of {kind}.")
    for kind in ("requests", "tokens")
    for name, what in (
        ("limit", f"How many {kind} a period of the tightest limit allows"),
        ("remaining", f"How many {kind} are left of it"),
        ("reset", "When it is whole again, such as 1s or 6m0s"),
    )
}


def _json(description: str, name: str, **headers: Schema) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"x-request-id": REQUEST_ID, **headers},
        "content": {"application/json": {"schema": ref(name)}},
    }


def _path(name: str, description: str) -> Parameter:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": STRING}


def _query(name: str, description: str, schema: Schema) -> Parameter:
    return {"name": name, "in": "query", "description": description, "schema": schema}


def _document(description: str, kind: str, schema: Schema) -> Answers:
    headers = {"x-request-id": REQUEST_ID, "etag": _header("Changes when the document does.")}
    return {
        "200": {"description": description, "headers": headers, "content": {kind: {"schema": schema}}},
        "304": {"description": "`if-none-match` names what would be sent.", "headers": headers},
    }


IDEMPOTENCY_KEY: Parameter = {
    "name": idempotency.HEADER,
    "in": "header",
    "description": (
        "One call a key: the same request with the same key is given the first one's answer again, for a day, and "
        "isn't charged again."
    ),
    "schema": STRING | {"minLength": 1, "maxLength": idempotency.KEY_BYTES_MAX},
}
_CHAT_ANSWER = _json(
    "The whole answer, or, with `stream: true`, its events.",
    "ChatCompletion",
    **{
        "x-tollway-provider": _header("Who served it; not on streams."),
        "x-tollway-cost-usd": _header("What the wallet was charged, decimal USD; not on streams."),
        "idempotent-replayed": _header("`true`: an earlier call's answer, given again; absent otherwise."),
        "x-tollway-original-request-id": _header("That call's id."),
        **RATE_LIMITS,
    },
)
_CHAT_ANSWER["content"]["text/event-stream"] = {
    "schema": STRING | {"description": STREAMING},
    "x-event-schema": ref("ChatCompletionChunk"),
}
_LIMIT = {"type": "integer", "minimum": 1, "maximum": PAGE_MAX, "default": PAGE_DEFAULT}
_DAY = {"type": "string", "format": "date"}
_MODEL_ID = "An id or alias; an id's slash may stand as it is."

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "post",
        f"{PREFIX}/chat/completions",
        "createChatCompletion",
        "Chat",
        "Answer a conversation",
        {"200": _CHAT_ANSWER},
        signed=True,
        codes=CHAT,
        parameters=(IDEMPOTENCY_KEY,),
        body=ref("ChatRequest"),
        about=f"OpenAI's chat completions, routed, billed, and failed over before the first token.\n\n{STREAMING}",
    ),
    Operation(
        "get",
        f"{PREFIX}/models",
        "listModels",
        "Models",
        "What is served, and for how much",
        {"200": _json("Every model.", "ModelList")},
    ),
    Operation(
        "get",
        f"{PREFIX}/models/{{id}}",
        "getModel",
        "Models",
        "One model",
        {"200": _json("The model.", "ModelView")},
        codes=frozenset({"model_not_found", "provider_not_found", "unsupported_endpoint"}),
        parameters=(_path("id", _MODEL_ID),),
    ),
    Operation(
        "get",
        f"{PREFIX}/providers",
        "listProviders",
        "Models",
        "Who serves, and how they have been doing",
        {"200": _json("Every provider.", "ProviderList")},
    ),
    Operation(
        "get",
        f"{PREFIX}/session/balance",
        "getBalance",
        "Session",
        "What the wallet has",
        {"200": _json("The balance.", "BalanceView")},
        signed=True,
    ),
    Operation(
        "get",
        f"{PREFIX}/session/transactions",
        "listTransactions",
        "Session",
        "The wallet's statement, newest first",
        {"200": _json("One page.", "StatementPage")},
        signed=True,
        parameters=(
            _query("limit", "Lines on a page.", _LIMIT),
            _query("cursor", "`next_cursor` of the page before.", STRING),
        ),
    ),
    Operation(
        "get",
        f"{PREFIX}/session/usage",
        "getUsage",
        "Session",
        "What the wallet's calls came to",
        {"200": _json("The sums.", "UsageList")},
        signed=True,
        parameters=(
            _query("by", "What a line is of.", {"type": "string", "enum": list(USAGE_BY), "default": USAGE_BY[0]}),
            _query("from", f"First day (UTC); {DAYS_DEFAULT} days up to the last if left out.", _DAY),
            _query("to", f"Last day; today if left out. At most {DAYS_MAX} days in all.", _DAY),
        ),
    ),
    Operation(
        "get",
        f"{PREFIX}/session/nonce",
        "getNonce",
        "Session",
        "A nonce for one sign-in",
        {"200": _json("The nonce.", "NonceView")},
        codes=frozenset({"rate_limited"}),
    ),
    Operation(
        "delete",
        f"{PREFIX}/session",
        "revokeSession",
        "Session",
        "Refuse this signed message from now on",
        {"204": {"description": "It is revoked.", "headers": {"x-request-id": REQUEST_ID}}},
        signed=True,
    ),
    Operation(
        "get",
        f"{PREFIX}/generations/{{id}}",
        "getGeneration",
        "Session",
        "One call of this wallet: usage, cost, delivery, and why it was routed so",
        {"200": _json("The call.", "GenerationView")},
        signed=True,
        codes=NOT_OF_CHAT,
        parameters=(
            _path("id", "The call's `x-request-id`, or the answer's own `id`."),
            _query("receipt", "Whether to sign a receipt.", {"type": "boolean", "default": False}),
        ),
    ),
    Operation(
        "get",
        "/.well-known/jwks.json",
        "getReceiptKeys",
        "Session",
        "The public keys of receipts (RFC 7517)",
        {"200": _json("Every key that was not withdrawn, the one that signs first.", "KeySet")},
    ),
    Operation(
        "get",
        "/healthz",
        "getHealth",
        "Health",
        "Whether the process runs",
        {"200": _json("It does.", "HealthView")},
    ),
    Operation(
        "get",
        "/readyz",
        "getReadiness",
        "Health",
        "Whether calls are taken",
        {"200": _json("They are.", "HealthView"), "503": _json("They are not; `status` says why.", "HealthView")},
    ),
    Operation(
        "get",
        "/openapi.json",
        "getDescription",
        "About",
        "This document",
        _document("OpenAPI 3.1.", "application/json", {"type": "object"}),
    ),
    Operation(
        "get",
        "/docs",
        "getDocs",
        "About",
        "This document as a page",
        _document("HTML that needs no script and nothing from elsewhere.", "text/html", STRING),
    ),
)


def openapi(version: str) -> dict[str, Any]:
    """The document. `version` is the router's."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": VERSION,
        "info": {"title": "Tollway", "version": version, "description": INTRODUCTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": schemas(), "securitySchemes": _security_schemes()},
        "x-errors": [
            {
                "code": kind.code,
                "status": kind.status,
                "type": kind.type,
                "should_retry": kind.should_retry,
                "meaning": ADVICE[kind.code].meaning,
                "cure": ADVICE[kind.code].cure,
            }
            for kind in sorted(errors(), key=lambda kind: (kind.status, kind.code))
        ],
    }


def _operation(operation: Operation) -> dict[str, Any]:
    codes = EVERYWHERE | operation.codes | (SIGN_IN if operation.signed else frozenset())
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "security": [{"wallet": []}, {"bearer": []}] if operation.signed else [],
        "responses": {**_refusals(codes), **operation.answers},
    }
    if operation.about:
        described["description"] = operation.about
    if operation.parameters:
        described["parameters"] = list(operation.parameters)
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": operation.body}}}
    described["responses"] = dict(sorted(described["responses"].items()))
    return described


def _refusals(codes: frozenset[str]) -> Answers:
    by_status: dict[int, list[str]] = {}
    for kind in errors():
        if kind.code in codes:
            by_status.setdefault(kind.status, []).append(kind.code)
    return {str(status): _refusal(status, sorted(named)) for status, named in sorted(by_status.items())}


def _refusal(status: int, codes: list[str]) -> dict[str, Any]:
    narrowed = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
    headers: dict[str, Schema] = {
        "x-request-id": REQUEST_ID,
        "x-should-retry": _header("Whether the same request, sent again, could be answered; absent: decide yourself."),
    }
    if status == 401:
        headers["www-authenticate"] = _header("`Sign-In-With-X` and the domain to sign for.")
    if status == 405:
        headers["allow"] = _header("The methods that are served.")
    if status in (409, 429, 503):
        headers["retry-after"] = _header("Seconds to wait.")
        headers["retry-after-ms"] = _header("The same, in milliseconds.")
    if status == 429:
        headers |= RATE_LIMITS
    return {
        "description": "\n".join(f"- `{code}`: {ADVICE[code].meaning}" for code in codes),
        "headers": headers,
        "content": {"application/json": {"schema": {"allOf": [ref("Error"), narrowed]}}},
    }


def _security_schemes() -> dict[str, Schema]:
    value = 'base64 of `{"message": <CAIP-122 text>, "signature": <base58 for Solana, hex for EVM>}`'
    return {
        "wallet": {
            "type": "apiKey",
            "in": "header",
            "name": "Sign-In-With-X",
            "description": f"A message that the wallet signed: {value}. It wins over a bearer token.",
        },
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The same value, for clients that can only send a bearer token.",
        },
    }
