"""Every path of the HTTP interface, what it takes, and all it may answer: a row an operation.

Paths stand here and in routes.py, and a test compares them. What a row says of itself is told by openapi.py.
"""

from typing import Any, NamedTuple

from tollway.api.openapi_schemas import STRING, Schema, errors, ref
from tollway.api.session import PAGE_DEFAULT, PAGE_MAX
from tollway.api.usage import DAYS_DEFAULT, DAYS_MAX, USAGE_BY
from tollway.intake import idempotency

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


def header(description: str) -> Schema:
    return {"description": description, "schema": STRING}


RATE_LIMITS: dict[str, Schema] = {
    f"x-ratelimit-{name}-{kind}": header(f"{what}; where the wallet has a limit of {kind}.")
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
    headers = {"x-request-id": REQUEST_ID, "etag": header("Changes when the document does.")}
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
        "x-tollway-provider": header("Who served it; not on streams."),
        "x-tollway-cost-usd": header("What the wallet was charged, decimal USD; not on streams."),
        "idempotent-replayed": header("`true`: an earlier call's answer, given again; absent otherwise."),
        "x-tollway-original-request-id": header("That call's id."),
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
        "post",
        f"{PREFIX}/keys",
        "createKey",
        "Keys",
        "Give out a delegated key; its secret is in this answer and never again",
        {"201": _json("The key.", "NewKeyView")},
        signed=True,
        codes=frozenset(
            {"model_not_found", "request_too_large", "wallet_required", "provider_not_found", "insufficient_balance"}
        ),
        body=ref("KeyRequest"),
        about="By the wallet itself, with a message on a fresh nonce of GET /session/nonce that names "
        "`urn:tollway:scope:keys` in its Resources. Sent twice, it makes two keys.",
    ),
    Operation(
        "get",
        f"{PREFIX}/keys",
        "listKeys",
        "Keys",
        "The wallet's delegated keys, newest first, with what they have spent",
        {"200": _json("One page.", "KeyList")},
        signed=True,
        codes=frozenset({"wallet_required"}),
        parameters=(
            _query("limit", "Keys on a page.", _LIMIT),
            _query("cursor", "`next_cursor` of the page before.", STRING),
        ),
    ),
    Operation(
        "delete",
        f"{PREFIX}/keys/{{id}}",
        "endKey",
        "Keys",
        "End a delegated key, for good and on every replica",
        {"204": {"description": "It is ended.", "headers": {"x-request-id": REQUEST_ID}}},
        signed=True,
        codes=frozenset({"wallet_required", "not_found", "unsupported_endpoint"}),
        parameters=(_path("id", "The key's id, not its secret."),),
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
