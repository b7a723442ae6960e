"""What every error code means and what to do about it, in the words of docs/errors.md: for /openapi.json and /docs.

It must not know how errors come about; a test compares it with the page.
"""

from typing import NamedTuple


class Advice(NamedTuple):
    meaning: str
    cure: str


ADVICE: dict[str, Advice] = {
    "invalid_request": Advice(
        "the body or a parameter is wrong, or the provider refused the request and said why",
        "mend what `param` and the message name",
    ),
    "unpriced_feature": Advice(
        "the call asks for something that costs beyond tokens, and no provider that may serve it has a rate for it",
        "leave the feature out, or choose another model; `candidates` lists what was left out and why, "
        "`would_fit` what would serve",
    ),
    "context_length_exceeded": Advice(
        "the prompt is too long for every model that the call names",
        "shorten the prompt, or add a larger model to `models`",
    ),
    "content_filtered": Advice(
        "the provider refused the content of the request",
        "change the prompt",
    ),
    "invalid_sign_in": Advice(
        "what was sent is no sign-in: not base64 JSON, not a CAIP-122 message, or one that lives too long",
        "build the message as the text says",
    ),
    "missing_sign_in": Advice(
        "neither `Sign-In-With-X` nor a bearer token came with the request",
        "sign in with a wallet",
    ),
    "invalid_signature": Advice(
        "the signature is not the named account's over this message",
        "sign the exact text that is sent, with the key of the address in it",
    ),
    "expired_sign_in": Advice(
        "the message, or its nonce, has expired",
        "sign a new message",
    ),
    "sign_in_not_yet_valid": Advice(
        "the message starts in the future",
        "check the clock of the machine that signs",
    ),
    "wrong_domain": Advice(
        "the message is for another domain, or its URI is elsewhere",
        "sign for one of `accepted_domains`",
    ),
    "unsupported_chain": Advice(
        "the message is for a chain that is not accepted here",
        "sign in on one of `accepted_chains`",
    ),
    "nonce_used": Advice(
        "the sign-in was good for one call and has been used",
        "get a new nonce at GET /session/nonce, sign a new message",
    ),
    "nonce_required": Advice(
        "a single-use nonce of this router is needed here",
        "get a nonce at GET /session/nonce and sign a message with it",
    ),
    "scope_required": Advice(
        "the message must name a scope in its Resources",
        "sign a message that names the scope",
    ),
    "sign_in_revoked": Advice(
        "the message was revoked with DELETE /session",
        "sign a new message",
    ),
    "invalid_key": Advice(
        "the bearer token is a delegated key in form, but none that this router gave out",
        "check that it was copied whole, and that it is this router's",
    ),
    "key_expired": Advice(
        "the delegated key was given out until a time that has passed",
        "ask its owner for a new one",
    ),
    "key_ended": Advice(
        "the delegated key was ended by its owner",
        "ask its owner for a new one",
    ),
    "wallet_required": Advice(
        "a delegated key is for calls; this is for the wallet itself",
        "sign in with the wallet",
    ),
    "model_not_allowed": Advice(
        "the delegated key does not allow every model that may serve the call",
        "ask for one of `allowed_models`",
    ),
    "key_limit_exceeded": Advice(
        "what the delegated key may still spend, in its life or in this period, does not carry what the call may cost",
        "lower `max_tokens` to `max_tokens_affordable`, wait for the next period, or ask its owner for a new key",
    ),
    "insufficient_balance": Advice(
        "the balance does not carry what the call may cost",
        "top up, or lower `max_tokens` to `max_tokens_affordable`; `balance_usd` and `hold_usd` say how much is "
        "missing",
    ),
    "account_not_allowed": Advice(
        "the signature is good, the account may not use this router",
        "ask the operator",
    ),
    "account_frozen": Advice(
        "the operator has frozen this wallet: it can look, but not call",
        "ask the operator",
    ),
    "model_not_found": Advice(
        "no model has that id or alias, or the pinned provider does not serve it",
        "take one of `did_you_mean`, or an id from GET /models",
    ),
    "provider_not_found": Advice(
        "a preference names a provider that does not exist",
        "take one of `did_you_mean`, or an id from GET /providers",
    ),
    "not_found": Advice(
        "this wallet has no finished call of that id",
        "check the id, and that the same wallet asks",
    ),
    "unsupported_endpoint": Advice(
        "this router does not serve that path",
        "use one of the paths that the message lists",
    ),
    "method_not_allowed": Advice(
        "the path is served, the method is not",
        "use a method that `allow` lists",
    ),
    "request_timeout": Advice(
        "headers or body came too slowly (`server.slow_sender`); the connection is closed",
        "send it again",
    ),
    "idempotency_conflict": Advice(
        "the `Idempotency-Key` was used for another request within a day",
        "send a new key with a new request",
    ),
    "idempotent_answer_too_large": Advice(
        "the call with this `Idempotency-Key` was answered, and its answer is not kept: it is too large, or the "
        "wallet's answers of that day are",
        "look the call up by `call_id`, or send a new key to have it carried out again",
    ),
    "idempotency_in_flight": Advice(
        "the call with this `Idempotency-Key` is still in flight",
        "send the same again as `retry-after` says: the answer is given then",
    ),
    "request_too_large": Advice(
        "the body is over `server.max_body`, or over what the provider takes",
        "send less",
    ),
    "unsupported_media_type": Advice(
        "the body is not declared as JSON, or is compressed",
        "send plain JSON with `content-type: application/json`",
    ),
    "rate_limited": Advice(
        "this wallet or address, or every provider that may serve the call, is at a limit; `limit` says which",
        "wait as `retry-after` says",
    ),
    "headers_too_large": Advice(
        "the request's headers are over `server.max_header`",
        "send fewer or shorter headers",
    ),
    "internal_error": Advice(
        "a fault of this router",
        "report it to the operator with the `x-request-id`",
    ),
    "provider_error": Advice(
        "every provider that may serve the call failed; `attempts` lists how",
        "try later, or name other models or providers",
    ),
    "no_provider_available": Advice(
        "no provider may serve the call as it is asked for, or all are at their limit",
        "loosen `provider` as `would_fit` says, or wait as `retry-after` says",
    ),
    "ledger_unavailable": Advice(
        "the books can't be written; nothing was charged",
        "try again",
    ),
    "shutting_down": Advice(
        "the router is closing",
        "try again; another instance, or the next start, answers",
    ),
    "overloaded": Advice(
        "the router has `server.max_calls` calls in flight",
        "try again",
    ),
    "provider_timeout": Advice(
        "no provider answered in time, or the call took longer than `timeouts.total`",
        "try later, or ask for less",
    ),
}
