"""The OpenAPI 3.1 description of the HTTP interface, built once from the table of operations.

It must not know configuration: two routers of one version describe themselves in the same words.
"""

from typing import Any

from tollway.api.error_guide import ADVICE
from tollway.api.openapi_schemas import Schema, errors, ref, schemas
from tollway.api.operations import EVERYWHERE, OPERATIONS, RATE_LIMITS, REQUEST_ID, SIGN_IN, Answers, Operation, header

VERSION = "3.1.0"
INTRODUCTION = (
    "An LLM router that speaks OpenAI's API and bills the wallet that signed in. Every path under `/api/v1` is served "
    "under `/v1` too, for clients that expect it; what takes GET takes HEAD. Every answer has an `x-request-id`, and "
    "every error is JSON in OpenAI's shape."
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
        "x-should-retry": header("Whether the same request, sent again, could be answered; absent: decide yourself."),
    }
    if status == 401:
        headers["www-authenticate"] = header("`Sign-In-With-X` and the domain to sign for.")
    if status == 405:
        headers["allow"] = header("The methods that are served.")
    if status in (409, 429, 503):
        headers["retry-after"] = header("Seconds to wait.")
        headers["retry-after-ms"] = header("The same, in milliseconds.")
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
            "description": "The same value, for clients that can only send a bearer token; or a delegated key.",
        },
    }
