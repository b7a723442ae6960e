"""What a provider's errors mean, and what of its words may be repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollway.domain.errors import ProviderFault
from tollway.upstream.faults import REASON_BYTES_MAX, REDACTED, answer_fault, cut, event_fault, redact
from tollway.wire import json

NOW_MS = 1_700_000_000_000
SECRETS = ("my-own-odd-key", "provider.example")


def fault(status: int, error: object = None, **headers: str) -> ProviderFault:
    body = error if isinstance(error, bytes) else json.encode({"error": error})
    return answer_fault(status, {k.replace("_", "-"): v for k, v in headers.items()}, body, SECRETS, NOW_MS)


# --- outcomes


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (400, "rejected"),
        (413, "rejected"),
        (422, "rejected"),
        (401, "refused_by_provider"),
        (402, "refused_by_provider"),
        (403, "refused_by_provider"),
        (404, "refused_by_provider"),
        (429, "rate_limited"),
        (503, "overloaded"),
        (529, "overloaded"),
        (500, "server_error"),
        (502, "server_error"),
        (504, "server_error"),
        (599, "server_error"),
        (101, "malformed"),
        (201, "malformed"),
        (204, "malformed"),
        (301, "malformed"),
        (307, "malformed"),
        (408, "malformed"),
        (418, "malformed"),
        (600, "malformed"),
    ],
)
def test_the_status_decides_the_outcome(status: int, outcome: str) -> None:
    found = fault(status, {"message": "m"})
    assert (found.outcome, found.status) == (outcome, status)
    assert found.detail == f"status {status}: m"
    assert found.reason == ("m" if outcome == "rejected" else None)


@pytest.mark.parametrize(("status", "wait_ms"), [(429, 7000), (503, 7000), (529, 7000), (500, None), (400, None)])
def test_only_a_provider_at_its_limit_says_when_to_come_back(status: int, wait_ms: int | None) -> None:
    assert fault(status, {"message": "m"}, retry_after="7").retry_after_ms == wait_ms


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_hard_limit_reached"])
def test_a_429_for_an_unpaid_bill_is_the_operators_problem(code: str) -> None:
    found = fault(429, {"message": "m", "type": code, "code": code}, retry_after="7")
    assert (found.outcome, found.code, found.retry_after_ms) == ("refused_by_provider", code, None)


# --- codes


@pytest.mark.parametrize(
    "error",
    [
        pytest.param({"code": "context_length_exceeded", "message": "too long"}, id="OpenAI's code"),
        pytest.param({"code": 400, "type": "exceed_context_size_error", "message": "m"}, id="llama.cpp's type"),
        pytest.param(
            {"message": "This model's maximum context length is 4096 tokens. However, you requested 5000"}, id="vLLM"
        ),
        pytest.param({"message": "the request exceeds the available context size, try increasing it"}, id="llama.cpp"),
        pytest.param(
            {"message": "The decoder prompt is longer than the maximum model length of 40"}, id="vLLM's prompt"
        ),
        pytest.param({"message": "prompt is too long: 208310 tokens > 200000 maximum"}, id="Anthropic"),
        pytest.param(
            {"message": "The input token count (9) exceeds the maximum number of tokens allowed"}, id="Gemini"
        ),
        pytest.param({"message": "Please reduce the length of the messages or completion."}, id="Groq"),
        pytest.param({"message": "`inputs` tokens + `max_new_tokens` must be <= 4096"}, id="TGI"),
        pytest.param({"message": "Your input exceeds the context window of this model"}, id="OpenAI's newer words"),
    ],
)
def test_a_prompt_that_is_too_long_is_recognised(error: dict[str, object]) -> None:
    assert fault(400, error).code == "context_length_exceeded"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param({"code": "content_filter", "message": "filtered"}, id="Azure's code"),
        pytest.param(
            {"code": "bad", "message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}},
            id="Azure's inner code",
        ),
        pytest.param({"message": "triggering Azure OpenAI's content management policy"}, id="Azure's words"),
        pytest.param(
            {"code": "invalid_prompt", "message": "your prompt was flagged as potentially violating"}, id="OpenAI"
        ),
        pytest.param({"code": "content_policy_violation", "message": "m"}, id="OpenAI's code"),
    ],
)
def test_a_filtered_prompt_is_recognised(error: dict[str, object]) -> None:
    assert fault(400, error).code == "content_filtered"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        ({"code": "invalid_value", "message": "m"}, "invalid_value"),
        ({"code": None, "type": "invalid_request_error", "message": "m"}, "invalid_request_error"),
        ({"code": 400, "message": "m"}, None),
        ({"code": "sk-abcdef0123456789", "message": "m"}, None),
        ({"code": "a sentence, no code", "message": "m"}, None),
        ({"code": "x" * 65, "message": "m"}, None),
        ({"code": "x", "innererror": "odd", "message": "m"}, "x"),
    ],
)
def test_any_other_code_is_the_providers_own_when_it_looks_like_one(error: dict[str, object], code: str | None) -> None:
    assert fault(400, error).code == code


# --- reasons


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"error":{"message":" too hot "}}', "too hot"),
        (b'{"error":"too hot"}', "too hot"),
        (b'{"error":"too hot","code":"hot"}', "too hot"),
        (b'[{"error":{"message":"too hot"}}]', "too hot"),
        (b'{"object":"error","message":"too hot","code":400}', "too hot"),
        (b'{"detail":"too hot"}', "too hot"),
        (b'{"detail":[{"loc":["body"],"msg":"too hot"},{"msg":"too cold"},7]}', "too hot; too cold"),
        (b'{"error":{"message":""}}', None),
        (b'{"error":{"message":7}}', None),
        (b"[]", None),
        (b"[7]", None),
        (b"7", None),
        (b"", None),
        (b"<html>too hot</html>", None),
        (b'{"error":{"message":"too', None),
        (b"\xff\xfe", None),
        (b"[" * 5000, None),
    ],
)
def test_the_reason_is_the_message_wherever_it_stands_and_never_a_page(body: bytes, reason: str | None) -> None:
    assert fault(400, body).reason == reason


def test_the_operator_sees_a_body_without_a_message() -> None:
    assert fault(502, b"<html>\n bad   gateway </html>").detail == "status 502: <html> bad gateway </html>"
    assert fault(502, b"").detail == "status 502: no message"


def test_a_reason_is_cut_to_1_kb_of_whole_characters() -> None:
    reason = fault(400, {"message": "é" * 5000}).reason
    assert reason == "é" * (REASON_BYTES_MAX // 2)
    assert cut("aé", 2) == "a"
    assert cut("\ud800", 9) == "?"


# --- redaction


@pytest.mark.parametrize(
    "secret",
    [
        "my-own-odd-key",
        "MY-OWN-ODD-KEY",
        "provider.example",
        "sk-abc***xyz",
        "sk-proj-A1b2C3d4E5f6",
        "sk-or-v1-0123456789abcdef",
        "gsk_A1b2C3d4E5f6G7h8",
        "AIzaSyA1b2C3d4E5f6G7h8",
        "Bearer abc.def",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_",
        "org-A1b2C3d4",
        "proj_A1b2C3d4",
        "org-abcdefghijklmnopqrst",
        "https://internal/v1?x=1",
        "wss://a.b/c",
        "api.openai.com",
        "node-7.cluster.internal:8000/v1",
        "localhost:8000",
        "10.0.0.7",
        "10.0.0.7:8000",
        "[fe80::1]:80",
        "0123456789abcdef0123456789abcdef01234567",
    ],
)
@pytest.mark.parametrize("around", ["it was {} again", "'{}'", "({})", "{}"])
def test_secrets_are_redacted(secret: str, around: str) -> None:
    told = redact(around.format(secret), SECRETS)
    assert told.replace(REDACTED, "") in (around.format(""), "it was  again")
    assert REDACTED in told


@pytest.mark.parametrize(
    "text",
    [
        "'temperature' must be at most 2.0, got 3 (param: messages.0.content)",
        "Unsupported value: response_format.json_schema.name, see gpt-4o-2024-08-06",
        "maximum context length is 128000 tokens; you asked for 130000 (120000 in the messages, 10000 to complete)",
        "key 'a' is missing; ask again at 12:30; risk-averse",
        "",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert redact(text, SECRETS) == text


def test_reasons_and_details_are_redacted() -> None:
    found = fault(400, {"message": "key my-own-odd-key of org-A1b2C3d4 at https://provider.example/v1 is bad"})
    assert found.reason == f"key {REDACTED} of {REDACTED} at {REDACTED} is bad"
    assert "odd" not in str(found)
    assert "odd" not in fault(500, b"my-own-odd-key").detail
    assert fault(400, {"code": "my-own-odd-key"}).code is None


@pytest.mark.parametrize("before", range(6))
def test_no_part_of_a_secret_is_left_where_a_long_text_is_cut(before: int) -> None:
    secret = "from-the-book-of-no-one-key"  # in no usual form
    told = redact("x" * before + secret * 1_000, (secret, "short one"))
    assert REDACTED in told
    assert not any(word in told for word in ("fro", "boo", "one", "key"))


# --- errors inside a 200


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        ({"message": "boom", "code": 429}, 429, "boom"),
        ({"message": "boom", "code": "502"}, 502, "boom"),
        ({"message": "boom", "status": 503, "code": "overloaded"}, 503, "boom"),
        ({"message": "boom", "code": "server_error"}, None, "boom"),
        ({"message": "boom", "code": 200}, None, "boom"),
        ({"message": "boom", "code": True}, None, "boom"),
        ({"message": "boom", "code": 10**30}, None, "boom"),
        ({"message": "my-own-odd-key"}, None, REDACTED),
        ("boom", None, "boom"),
        ({}, None, "an error without a message"),
        (7, None, "an error without a message"),
        ([], None, "an error without a message"),
    ],
)
def test_an_error_inside_a_stream(error: object, status: int | None, detail: str) -> None:
    found = event_fault(error, SECRETS)
    assert (found.outcome, found.status, found.detail) == ("error_event", status, detail)
    assert found.reason is None


def test_an_error_inside_a_stream_keeps_the_code_that_callers_act_on() -> None:
    assert event_fault({"code": "context_length_exceeded", "message": "m"}, ()).code == "context_length_exceeded"


# --- properties

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "msg", "detail", "code", "type", "status", "innererror"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.integers(100, 699), st.one_of(st.binary(), JSON.map(json.encode)))
def test_any_error_answer_gives_a_fault_that_is_bounded(status: int, body: bytes) -> None:
    found = answer_fault(status, {}, body, SECRETS, NOW_MS)
    assert len((found.reason or "").encode()) <= REASON_BYTES_MAX
    assert len(found.detail) < 400


@given(JSON)
def test_any_error_event_gives_a_fault(error: object) -> None:
    assert event_fault(error, SECRETS).outcome == "error_event"
