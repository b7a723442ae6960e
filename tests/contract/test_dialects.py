"""What every dialect promises (upstream/dialect.py), whatever its provider's API looks like on the wire: OpenAI's
shapes come out, each failure is a fault of its kind, and nothing depends on how a stream is cut into reads."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.dialect_homes import HOMES, Asked, Home
from helpers.metered import candidate
from helpers.requests import asked
from tollway.domain.answer import Outcome, Reading, StreamEvent
from tollway.domain.errors import ProviderFault
from tollway.domain.plan import Timeouts
from tollway.domain.quirks import DialectName
from tollway.domain.usage import Generated, Usage
from tollway.metering.usage import parse_usage
from tollway.upstream.dialect import Dialect
from tollway.upstream.dialects import DIALECTS
from tollway.upstream.endpoint import Endpoint, UserField
from tollway.wire import json

KEY = "my-own-odd-key"
NOON_MS = 1_700_000_000_000
CANDIDATE = candidate(upstream="their-name", timeouts=Timeouts(connect=2.5))
COUNTS = {"prompt": 9, "completion": 4, "cached": 2}
USAGE = Usage(prompt=9, completion=4, cached=2)
TEXTS = ("hé", "llo", " \U0001f600")
ALL = "".join(TEXTS)


class Noon:
    def now_ms(self) -> int:
        return NOON_MS

    def monotonic(self) -> float:
        return 0.0


class Setting:
    """A dialect, and its provider's side."""

    def __init__(self, name: DialectName) -> None:
        self.name = name
        self.home: Home = HOMES[name]
        self.dialect = self.made()

    def made(self, user: UserField = "hash") -> Dialect:
        endpoint = Endpoint(id="p", base_url=self.home.base_url, api_key=KEY, user=user)
        return DIALECTS[self.name].make(endpoint, Noon())

    def sent(self, cap: int | None = None, mode: UserField = "hash", **fields: Any) -> Asked:
        call = msgspec.structs.replace(asked(**fields), pseudonym="0ab1")
        return self.home.read(self.made(mode).request(call, CANDIDATE, max_tokens=cap))

    @property
    def events(self) -> list[bytes]:
        return self.home.stream(TEXTS, "stop", **COUNTS)


@pytest.fixture(params=HOMES)
def setting(request: pytest.FixtureRequest) -> Setting:
    return Setting(request.param)


each_dialect = pytest.mark.parametrize("name", HOMES)


def test_every_dialect_is_registered_and_held_to_this() -> None:
    assert DIALECTS.keys() == HOMES.keys() == set(get_args(DialectName))


# --- requests


def test_a_request_names_the_providers_model_carries_its_key_and_says_what_was_asked(setting: Setting) -> None:
    seen = setting.sent(messages=[{"role": "user", "content": ALL}])
    assert (seen["model"], seen["key"], seen["text"], seen["stream"]) == ("their-name", KEY, ALL, False)
    assert setting.sent(stream=True)["stream"] is True


def test_a_request_is_a_post_below_the_base_url_with_the_candidates_patience(setting: Setting) -> None:
    request = setting.dialect.request(asked(), CANDIDATE)
    assert (request.method, request.connect_timeout) == ("POST", 2.5)
    assert request.url.startswith(f"{setting.home.base_url}/")
    assert ("content-type", "application/json") in request.headers


def test_a_call_is_not_changed_by_being_translated(setting: Setting) -> None:
    call = asked(stream=True, stream_options={"include_usage": False}, user="mine")
    before = dict(call.fields)
    setting.dialect.request(call, CANDIDATE, max_tokens=5)
    assert call.fields == before


@pytest.mark.parametrize(("own", "cap", "seen"), [(9, None, 9), (9, 7, 7), (5, 7, 5), (None, 7, 7)])
@pytest.mark.parametrize("spelling", ["max_tokens", "max_completion_tokens"])
def test_a_cap_lowers_the_callers_and_never_raises_it(
    setting: Setting, spelling: str, own: int | None, cap: int | None, seen: int
) -> None:
    fields = {} if own is None else {spelling: own}
    assert setting.sent(cap, **fields)["max_tokens"] == seen


@pytest.mark.parametrize(
    ("mode", "named", "unnamed"), [("hash", "0ab1", "0ab1"), ("forward", "mine", None), ("omit", None, None)]
)
def test_a_provider_sees_the_user_that_it_is_meant_to_see(
    setting: Setting, mode: UserField, named: str | None, unnamed: str | None
) -> None:
    assert setting.sent(mode=mode, user="mine")["user"] == named
    assert setting.sent(mode=mode)["user"] == unnamed


def test_the_list_of_models_and_an_empty_question_go_below_the_base_url_with_the_key(setting: Setting) -> None:
    models, probe = setting.dialect.models(), setting.dialect.probe()
    call = setting.dialect.request(asked(), CANDIDATE)
    assert (models.method, models.body) == ("GET", b"")
    assert (probe.method, probe.url, probe.headers) == ("POST", call.url, call.headers)
    assert models.url.startswith(f"{setting.home.base_url}/")
    assert models.url != probe.url
    assert any(KEY in value for _, value in models.headers)


# --- whole answers


def test_an_answer_is_a_chat_completion_with_usage_as_openai_counts_it(setting: Setting) -> None:
    found = setting.dialect.answer(setting.home.answer(ALL, "stop", **COUNTS))
    whole = json.decode(json.encode_fields(found.fields))
    (choice,) = whole["choices"]
    assert (whole["object"], choice["index"], choice["message"]["role"]) == ("chat.completion", 0, "assistant")
    assert (choice["message"]["content"], choice["finish_reason"]) == (ALL, "stop")
    assert (found.response_id, found.finish_reasons) == ("x-1", ("stop",))
    assert found.generated == Generated(text_bytes=len(ALL.encode()))
    assert found.usage is not None and parse_usage(found.usage) == USAGE
    assert json.decode(found.usage) == whole["usage"]


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "content_filter"])
def test_why_an_answer_ended_is_said_in_openais_words(setting: Setting, finish: str) -> None:
    assert setting.dialect.answer(setting.home.answer("a", finish, **COUNTS)).finish_reasons == (finish,)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b"null", b'"text"', b"\xff"])
def test_what_is_no_answer_is_malformed(setting: Setting, body: bytes) -> None:
    with pytest.raises(ProviderFault) as caught:
        setting.dialect.answer(body)
    assert (caught.value.outcome, caught.value.status) == ("malformed", 200)


@each_dialect
@given(data=st.data())
def test_a_torn_answer_raises_nothing_but_a_fault(name: DialectName, data: st.DataObject) -> None:
    setting = Setting(name)
    body = setting.home.answer(ALL, "stop", **COUNTS)
    with pytest.raises(ProviderFault):
        setting.dialect.answer(body[: data.draw(st.integers(0, len(body) - 1))])


def test_an_error_with_status_200_is_an_error_without_the_key(setting: Setting) -> None:
    with pytest.raises(ProviderFault) as caught:
        setting.dialect.answer(setting.home.error(f"bad key {KEY}"))
    assert (caught.value.outcome, caught.value.detail) == ("error_event", "bad key [redacted]")


# --- error answers


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (302, "malformed"),
        (400, "rejected"),
        (401, "refused_by_provider"),
        (402, "refused_by_provider"),
        (403, "refused_by_provider"),
        (404, "refused_by_provider"),
        (413, "rejected"),
        (422, "rejected"),
        (429, "rate_limited"),
        (500, "server_error"),
        (503, "overloaded"),
        (529, "overloaded"),
    ],
)
def test_a_status_means_the_same_of_every_provider(setting: Setting, status: int, outcome: Outcome) -> None:
    for body in (setting.home.error("no"), b"", b"<html>", b"\xff"):
        fault = setting.dialect.fault(status, {}, body)
        assert (fault.outcome, fault.status) == (outcome, status)


def test_only_a_refusal_of_the_request_has_a_reason_to_tell_and_never_a_secret(setting: Setting) -> None:
    body = setting.home.error(f"no, {KEY}")
    assert setting.dialect.fault(400, {}, body).reason == "no, [redacted]"
    for status in (401, 429, 500):
        fault = setting.dialect.fault(status, {}, body)
        assert fault.reason is None
        assert KEY not in fault.detail


def test_a_prompt_that_is_too_long_has_the_code_that_another_model_may_be_tried_for(setting: Setting) -> None:
    fault = setting.dialect.fault(400, {}, setting.home.error("prompt is too long: 9 tokens > 8 maximum"))
    assert fault.code == "context_length_exceeded"


def test_a_retry_after_is_kept(setting: Setting) -> None:
    assert setting.dialect.fault(429, {"retry-after": "3"}, b"").retry_after_ms == 3_000
    assert setting.dialect.fault(429, {"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, b"").retry_after_ms == 30_000


# --- streams


def read(setting: Setting, *reads: bytes) -> tuple[list[StreamEvent], Reading]:
    reader, events, reading = setting.dialect.stream(), [], Reading(1)
    for data in reads:
        events += reader.feed(data)
    if not reader.done:
        events += reader.end()
    for event in events:
        reading.note(event)
    assert reader.done
    return events, reading


def relayed(events: list[StreamEvent]) -> list[Any]:
    """The chunks that a client gets, each one line of JSON."""
    lines = b"".join(event.data for event in events).split(b"\n\n")
    assert lines.pop() == b""
    assert all(line.startswith(b"data: {") and b"\n" not in line for line in lines)
    return [json.decode(line.removeprefix(b"data: ")) for line in lines]


def test_a_stream_is_relayed_as_chunks_of_a_chat_completion_and_usage_is_taken_out(setting: Setting) -> None:
    events, reading = read(setting, b"".join(setting.events))
    chunks = relayed(events)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert not any(chunk.get("usage") for chunk in chunks)
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == ALL
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert (reading.response_id, reading.finish_reasons, reading.settled) == ("x-1", ("stop",), True)
    assert reading.generated == Generated(text_bytes=len(ALL.encode()))
    assert reading.usage is not None and parse_usage(reading.usage) == USAGE


def test_an_opening_without_text_is_no_token_and_the_first_text_is(setting: Setting) -> None:
    reader = setting.dialect.stream()
    opening, text, *_ = setting.events
    assert not any(event.tokens for event in reader.feed(opening))
    assert any(event.tokens for event in reader.feed(text))


def test_text_alone_is_what_would_have_been_read_and_relayed_as_it_came(setting: Setting) -> None:
    reader = setting.dialect.stream()
    for data in setting.events:
        text_bytes = reader.text_bytes_of(data)
        for event in reader.feed(data):
            assert text_bytes in (0, event.text_bytes)
            assert text_bytes == 0 or event == StreamEvent(
                data=data, tokens=True, text_bytes=text_bytes, response_id=event.response_id
            )


def test_a_finish_reason_comes_alone_so_that_it_can_be_withheld(setting: Setting) -> None:
    events, _ = read(setting, b"".join(setting.events))
    assert [event.tokens for event in events if event.finished] == [False]


@each_dialect
@given(data=st.data())
def test_where_a_stream_is_cut_into_reads_makes_no_difference(name: DialectName, data: st.DataObject) -> None:
    setting = Setting(name)
    stream = b"".join(setting.events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    reads = [stream[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, whole_reading = read(setting, stream)
    torn, torn_reading = read(setting, *(piece for piece in reads if piece))
    assert relayed(torn) == relayed(whole)
    assert (torn_reading.usage, torn_reading.finished, torn_reading.generated) == (
        whole_reading.usage,
        whole_reading.finished,
        whole_reading.generated,
    )


def test_what_comes_after_the_end_is_ignored(setting: Setting) -> None:
    reader = setting.dialect.stream()
    reader.feed(b"".join(setting.events))
    assert reader.done
    assert reader.feed(setting.home.error_event("late")) == [] == reader.end()
    assert reader.fault is None


def test_a_stream_that_breaks_off_is_not_at_its_end_and_within_an_event_it_is_cut(setting: Setting) -> None:
    opening, text, *_ = setting.events
    between = setting.dialect.stream()
    between.feed(opening + text)
    assert (between.end(), between.done) == ([], False)
    within = setting.dialect.stream()
    within.feed(opening + text[: len(text) // 2])
    with pytest.raises(ProviderFault) as caught:
        within.end()
    assert caught.value.outcome == "cut"


def test_an_error_in_a_stream_comes_after_the_events_before_it_and_without_the_key(setting: Setting) -> None:
    opening, text, *_ = setting.events
    reader = setting.dialect.stream()
    events = reader.feed(opening + text + setting.home.error_event(f"broke with {KEY}"))
    assert any(event.tokens for event in events)
    assert reader.fault is not None
    for again in (lambda: reader.feed(b""), reader.end):
        with pytest.raises(ProviderFault) as caught:
            again()
        assert (caught.value.outcome, caught.value.detail) == ("error_event", "broke with [redacted]")
    assert not reader.done


def test_a_damaged_event_may_have_carried_text_and_is_a_cut(setting: Setting) -> None:
    opening, text, *_ = setting.events
    damaged = text.replace(b"}", b"", 1)
    reader = setting.dialect.stream()
    reader.feed(opening)
    with pytest.raises(ProviderFault) as caught:
        reader.feed(damaged)
    assert caught.value.outcome == "cut"


def test_two_streams_of_one_dialect_know_nothing_of_each_other(setting: Setting) -> None:
    first, second = setting.dialect.stream(), setting.dialect.stream()
    first.feed(b"".join(setting.events))
    assert not second.done
    assert any(event.tokens for event in second.feed(b"".join(setting.events[:2])))
