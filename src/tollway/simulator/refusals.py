"""Error bodies as OpenAI and its look-alikes send them, by status and code. Values only."""

from tollway.simulator.scenario import Scenario
from tollway.wire import json

# status: (type, code, message); a 4xx or 5xx that is not here gets the last line
_BY_STATUS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", "invalid_value", "Invalid value: the simulated provider refuses this request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-sim*****ated."),
    402: ("insufficient_quota", "insufficient_balance", "Insufficient Balance"),
    403: ("permission_error", "permission_denied", "This project has no access to the model."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    413: ("invalid_request_error", "request_too_large", "Request exceeds the maximum size."),
    422: ("invalid_request_error", "unprocessable", "Input should be valid."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please slow down."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    502: ("server_error", None, "Bad gateway."),
    503: ("service_unavailable_error", None, "The engine is currently overloaded, please try again later."),
    504: ("server_error", "timeout", "Gateway timeout."),
    529: ("overloaded_error", "overloaded", "Overloaded"),
}
_OTHER = ("server_error", None, "The simulated provider failed as it was asked to.")

CONTEXT_LENGTH = 8_192  # the limit that context_length_exceeded speaks of


def error_body(message: str, type: str | None, code: str | None, param: str | None = None) -> bytes:
    return json.encode({"error": {"message": message, "type": type, "param": param, "code": code}})


def scenario_error(scenario: Scenario, prompt_tokens: int) -> bytes:
    """The body for `status=`, or for an error inside a 200, with the scenario's `code` when it has one."""
    if scenario.code == "context_length_exceeded":
        message = (
            f"This model's maximum context length is {CONTEXT_LENGTH} tokens. However, your messages resulted in "
            f"{max(prompt_tokens, CONTEXT_LENGTH + 1)} tokens. Please reduce the length of the messages."
        )
        return error_body(message, "invalid_request_error", scenario.code, "messages")
    if scenario.code == "content_filter":
        return json.encode({"error": _CONTENT_FILTER})
    kind, code, message = _BY_STATUS.get(scenario.status if scenario.status != 200 else 500, _OTHER)
    return error_body(message, kind, scenario.code or code)


# Azure OpenAI's form, which carries what was filtered
_CONTENT_FILTER: dict[str, object] = {
    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "type": None,
    "param": "prompt",
    "code": "content_filter",
    "status": 400,
    "innererror": {
        "code": "ResponsibleAIPolicyViolation",
        "content_filter_result": {"violence": {"filtered": True, "severity": "high"}},
    },
}
