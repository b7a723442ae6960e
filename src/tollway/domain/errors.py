"""Every error a caller can be given, in one tree: status, code, type, and whether trying again makes sense.

TollwayError
├── RequestError 400        the caller's request is wrong; `param` names the field
│   ├── UnpricedFeature, ContextLengthExceeded, ContentFiltered
│   ├── RequestTimeout 408, RequestTooLarge 413, HeadersTooLarge 431, UnsupportedMediaType 415, MethodNotAllowed 405
│   ├── IdempotencyConflict 409, IdempotentAnswerTooLarge 409
│   └── ModelNotFound 404, ProviderNotFound 404, NotFound 404, RecordPruned 404, UnsupportedEndpoint 404
├── SignInError 401         no proof of who calls; carries WWW-Authenticate
│   └── MissingSignIn, InvalidSignIn, InvalidSignature, ExpiredSignIn, NotYetValid, WrongDomain, UnsupportedChain,
│       NonceUsed, NonceRequired, ScopeRequired, RevokedSignIn; InvalidKey, KeyExpired, KeyEnded
├── AccountNotAllowed 403, AccountFrozen 403
│   └── WalletRequired 403, ModelNotAllowed 403, KeyLimitExceeded 403: what a delegated key may not do
├── InsufficientBalance 402
├── IdempotencyInFlight 409
├── RateLimited 429
├── NoProviderAvailable 503, ProviderFailed 502, ProviderTimeout 504
├── LedgerUnavailable 503   refused for certain: nothing was booked
├── ShuttingDown 503, Overloaded 503
└── InternalError 500

ProviderFault (what one attempt failed with), LedgerOutcomeUnknown, LimitsUnavailable and ClientGone are not for
callers: who asked turns them into one of the above, or into silence. Messages are written where the fault is found, and
never carry secrets.
"""

from tollway.domain.answer import AttemptRecord, Outcome


class TollwayError(Exception):
    """Answered as `{"error": {"code", "message", "type", "param"}}` (OpenAI's shape) with `status`."""

    status = 500
    code = "internal_error"
    type = "server_error"
    should_retry: bool | None = None  # x-should-retry; None leaves the client to its own rules

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after_ms: int | None = None,
        attempts: tuple[AttemptRecord, ...] = (),
        details: dict[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after_ms = retry_after_ms
        self.attempts = attempts
        self.details = details or {}  # further members of the error object, machine-readable


class RequestError(TollwayError):
    status = 400
    code = "invalid_request"
    type = "invalid_request_error"
    should_retry: bool | None = False


class UnpricedFeature(RequestError):
    code = "unpriced_feature"


class ContextLengthExceeded(RequestError):
    code = "context_length_exceeded"


class ContentFiltered(RequestError):
    code = "content_filtered"


class RequestTooLarge(RequestError):
    status = 413
    code = "request_too_large"


class RequestTimeout(RequestError):
    status = 408
    code = "request_timeout"
    should_retry = None


class HeadersTooLarge(RequestError):
    status = 431
    code = "headers_too_large"


class UnsupportedMediaType(RequestError):
    status = 415
    code = "unsupported_media_type"


class MethodNotAllowed(RequestError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, message: str, *, allow: str) -> None:
        super().__init__(message)
        self.allow = allow  # the Allow header (RFC 9110)


class ModelNotFound(RequestError):
    status = 404
    code = "model_not_found"


class ProviderNotFound(RequestError):
    status = 404
    code = "provider_not_found"


class NotFound(RequestError):
    status = 404
    code = "not_found"


class RecordPruned(NotFound):
    """The call was there, and its record has been let go of."""


class UnsupportedEndpoint(RequestError):
    status = 404
    code = "unsupported_endpoint"


class IdempotencyConflict(RequestError):
    status = 409
    code = "idempotency_conflict"


class IdempotentAnswerTooLarge(RequestError):
    status = 409
    code = "idempotent_answer_too_large"


class SignInError(TollwayError):
    status = 401
    code = "invalid_sign_in"
    type = "authentication_error"
    should_retry = False


class MissingSignIn(SignInError):
    code = "missing_sign_in"


class InvalidSignIn(SignInError):
    code = "invalid_sign_in"


class InvalidSignature(SignInError):
    code = "invalid_signature"


class ExpiredSignIn(SignInError):
    code = "expired_sign_in"


class NotYetValid(SignInError):
    code = "sign_in_not_yet_valid"


class WrongDomain(SignInError):
    code = "wrong_domain"


class UnsupportedChain(SignInError):
    code = "unsupported_chain"


class NonceUsed(SignInError):
    code = "nonce_used"


class NonceRequired(SignInError):
    code = "nonce_required"


class ScopeRequired(SignInError):
    code = "scope_required"


class RevokedSignIn(SignInError):
    code = "sign_in_revoked"


class InvalidKey(SignInError):
    code = "invalid_key"


class KeyExpired(SignInError):
    code = "key_expired"


class KeyEnded(SignInError):
    code = "key_ended"


class AccountNotAllowed(TollwayError):
    status = 403
    code = "account_not_allowed"
    type = "permission_error"
    should_retry = False


class WalletRequired(AccountNotAllowed):
    code = "wallet_required"


class ModelNotAllowed(AccountNotAllowed):
    code = "model_not_allowed"


class KeyLimitExceeded(AccountNotAllowed):
    # Not a 402: a client that pays by itself would pay in vain.
    code = "key_limit_exceeded"
    type = "insufficient_quota"


class AccountFrozen(TollwayError):
    status = 403
    code = "account_frozen"
    type = "permission_error"
    should_retry = False


class InsufficientBalance(TollwayError):
    status = 402
    code = "insufficient_balance"
    type = "insufficient_quota"
    should_retry = False


class IdempotencyInFlight(TollwayError):
    status = 409
    code = "idempotency_in_flight"
    type = "invalid_request_error"
    should_retry = True


class RateLimited(TollwayError):
    status = 429
    code = "rate_limited"
    type = "rate_limit_error"
    should_retry = True


class NoProviderAvailable(TollwayError):
    status = 503
    code = "no_provider_available"
    type = "provider_error"
    should_retry = False


class ProviderFailed(TollwayError):
    status = 502
    code = "provider_error"
    type = "provider_error"
    should_retry = False


class ProviderTimeout(TollwayError):
    status = 504
    code = "provider_timeout"
    type = "provider_error"
    should_retry = False


class LedgerUnavailable(TollwayError):
    status = 503
    code = "ledger_unavailable"
    should_retry = True


class ShuttingDown(TollwayError):
    status = 503
    code = "shutting_down"
    should_retry = True


class Overloaded(TollwayError):
    status = 503
    code = "overloaded"
    should_retry = True


class InternalError(TollwayError):
    pass


class ClientGone(Exception):
    """The client closed the connection while it was still sending its request: there is nobody to answer."""


class LedgerOutcomeUnknown(Exception):
    """A command may or may not be booked. Ask again with the same id: the answer will be the same."""


class LimitsUnavailable(Exception):
    """The store of counts can't be asked: whether a limit is reached is not known."""


class LedgerUnusable(Exception):
    """For the operator: the books can't be opened, or a command about them can't be carried out. Says what to do."""


class LedgerLocked(LedgerUnusable):
    """Another process owns the books."""


class ProviderFault(Exception):
    """What one attempt failed with. `detail` is for the operator; `reason` is the provider's own words about the
    request (400, 413, 422; or a dialect's, of what it can't express), already cut and redacted, fit for the caller."""

    def __init__(
        self,
        outcome: Outcome,
        detail: str,
        *,
        status: int | None = None,
        retry_after_ms: int | None = None,
        reason: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(f"{outcome}: {detail}")
        self.outcome = outcome
        self.detail = detail
        self.status = status
        self.retry_after_ms = retry_after_ms
        self.reason = reason
        self.code = code  # the provider's error code, such as context_length_exceeded
