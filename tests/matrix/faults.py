"""Every fault of the matrix: how a provider is told to play it, and what has to follow by the rules of docs/routing.md
and docs/billing.md. Knows nothing of routers or clients.

A stream has TOKENS tokens of text: its events are the role, the tokens, the finish, the usage and [DONE], so that
`cut@4` breaks off after three tokens.
"""

import enum
from dataclasses import dataclass

TOKENS = 8
FIRST, MIDDLE, LAST = 1, 4, 2 + TOKENS  # events before a fault: before the first token, in the middle, past the finish
EIGHT_WORDS = "na%C3%AFve+%E6%9D%B1%E4%BA%AC+%F0%9F%A6%86+%C3%BC+%C3%A9+%C3%B1+%C3%B8+%C3%A5"
EIGHT_WORDS_READ = "naïve 東京 🦆 ü é ñ ø å"


class Then(enum.Enum):
    """What a call does about the provider's doing."""

    ANSWERS = "it is an answer, however odd"
    HEALED = "the same provider is asked once more, and answers"
    WAITED = "where nobody else can be asked, the same provider is, and answers"
    ALONE = "where nobody else can be asked, the same provider is, and fails"
    NEXT = "the next provider is asked"
    AGAIN = "the same provider is asked once more, then the next"
    FINAL = "it is about the request: nobody else is asked"
    BROKEN = "tokens have gone out: nobody else can be asked"
    LATE = "the call's own limit has passed: nobody else is asked"


class Bill(enum.Enum):
    """What a whole answer is charged by."""

    USAGE = "usage"
    OWN = "own count"
    FREE = "free"


@dataclass(frozen=True, kw_only=True)
class Play:
    """A fault in one kind of answer."""

    scenario: str
    then: Then
    error: tuple[int, str] = (502, "provider_error")  # where nobody else is asked, or can be


@dataclass(frozen=True, kw_only=True)
class Fault:
    name: str
    means: str
    stream: Play | None = None
    batch: Play | None = None
    silent: bool = False  # the provider has to be given up: its limits are short
    hasty: bool = False  # the call has to be given up: its limit is short
    listens: bool = True
    own_address: bool = False  # its connections are shared with no other cell
    before: str | None = None  # what the provider did with the call before, which left it a connection
    bill: Bill = Bill.USAGE
    finish: str | None = "stop"
    choices: int = 1  # asked for
    text: str | None = None  # what is said, where it isn't the usual
    opening: int = 1  # events before the first token
    extra: int = 0  # events more, between the tokens
    breaks_after: int = MIDDLE - 1  # tokens, where it breaks off after some
    thoughts: int = 0  # tokens of reasoning before the text
    stepwise: bool = True  # its events can be let out one by one
    said_with_finish: bool = False  # the usage comes no later than the finish
    said_so_far: bool = False  # the usage so far comes with every token

    @property
    def waits(self) -> bool:
        """Most of its time is spent on waiting for a limit to pass."""
        return self.silent or self.hasty or (self.stream is not None and "stall" in self.stream.scenario)


def both(
    name: str, means: str, scenario: str, then: Then, error: tuple[int, str] = (502, "provider_error"), **more: object
) -> Fault:
    play = Play(scenario=scenario, then=then, error=error)
    return Fault(name=name, means=means, stream=play, batch=play, **more)  # type: ignore[arg-type]


def odd(name: str, means: str, scenario: str, then: Then = Then.ANSWERS, **more: object) -> Fault:
    """Of streams only."""
    return Fault(name=name, means=means, stream=Play(scenario=scenario, then=then), **more)  # type: ignore[arg-type]


TIMEOUT = (504, "provider_timeout")
BUSY = (503, "no_provider_available")
REFUSED = (400, "invalid_request")

SAYS_NO = [
    both("400", "it refuses the request", "status=400", Then.FINAL, REFUSED),
    both(
        "400, context",
        "the prompt is too long for the model",
        "status=400&code=context_length_exceeded",
        Then.FINAL,
        (400, "context_length_exceeded"),
    ),
    both(
        "400, filter",
        "it refuses the content",
        "status=400&code=content_filter",
        Then.FINAL,
        (400, "content_filtered"),
    ),
    both("401", "it doesn't know the operator's key", "status=401", Then.NEXT),
    both("402", "the operator hasn't paid", "status=402", Then.NEXT),
    both("403", "the operator may not use the model", "status=403", Then.NEXT),
    both("404", "it doesn't have the model", "status=404", Then.NEXT),
    both("408", "a status that says nothing about the request", "status=408", Then.NEXT),
    both("413", "the request is too large for it", "status=413", Then.FINAL, (413, "request_too_large")),
    both("422", "it refuses the request", "status=422", Then.FINAL, REFUSED),
    both("429", "a limit, without a word of when", "status=429", Then.NEXT, BUSY),
    both("429, soon", "a limit, once, that is over at once", "status=429&retry_after_ms=50&fault_times=1", Then.WAITED),
    both("429, later", "a limit for a minute", "status=429&retry_after=60", Then.NEXT, BUSY),
    both("500", "it fails every time", "status=500", Then.AGAIN),
    both("500, once", "it fails the first time", "status=500&fault_times=1", Then.HEALED),
    both("502", "its own gateway fails", "status=502", Then.AGAIN),
    both("503", "it is overloaded", "status=503", Then.NEXT, BUSY),
    both("503, soon", "it is overloaded, and says until when", "status=503&retry_after=1", Then.NEXT, BUSY),
    both("504", "its own gateway gives up", "status=504", Then.AGAIN),
    both("529", "it is overloaded, as Anthropic says it", "status=529", Then.NEXT, BUSY),
]

SAYS_NOTHING = [
    both("dead", "nobody listens at its address", "", Then.NEXT, listens=False),
    both("close", "it closes the connection instead of an answer", "fault=close", Then.NEXT, own_address=True),
    both("reset", "it resets the connection instead of an answer", "fault=reset", Then.NEXT, own_address=True),
    both("stale", "it closes a connection that was kept", "fault=close&fault_times=1", Then.WAITED, before=""),
    both("stale, again", "it closes whatever connection there is", "fault=close", Then.ALONE, before=""),
    both("silence", "it never answers", "fault=silence", Then.NEXT, TIMEOUT, silent=True),
    both(
        "half_head", "its head breaks off, and nothing more comes", "fault=half_head", Then.NEXT, TIMEOUT, silent=True
    ),
    both("slow_head", "its head comes a byte at a time", "fault=slow_head", Then.NEXT, TIMEOUT, silent=True),
    both("redirect", "it points elsewhere", "fault=redirect", Then.NEXT),
    both("not_json", "a web page, with status 200", "fault=not_json", Then.NEXT),
    both("huge_headers", "a header of 100 KB", "fault=huge_headers", Then.NEXT),
    both("gzip", "a compressed answer that nobody asked for", "fault=gzip", Then.NEXT),
    both("no body", "status 200 and nothing after it", "fault=end@0", Then.NEXT),
    both("error first", "status 200 and an error object", "fault=error", Then.NEXT),
    Fault(
        name="unstreamed",
        means="a whole answer where a stream was asked for",
        stream=Play(scenario="fault=unstreamed", then=Then.NEXT),
    ),
    both(
        "too slow",
        "it is silent for longer than the call may take",
        "fault=silence",
        Then.LATE,
        TIMEOUT,
        hasty=True,
        stepwise=False,
    ),
]


def broken(
    fault: str,
    means: str,
    *,
    batch: str | None = None,
    error: tuple[int, str] = (502, "provider_error"),
    silent: bool = False,
) -> list[Fault]:
    """A stream that breaks before its first token, and the same in the middle; `batch` breaks a whole answer so."""
    before = Play(scenario=f"fault={fault}@{FIRST}", then=Then.NEXT, error=error)
    middle = Play(scenario=f"fault={fault}@{MIDDLE}", then=Then.BROKEN, error=error)
    whole = None if batch is None else Play(scenario=f"fault={batch}", then=Then.NEXT, error=error)
    return [
        Fault(name=f"{fault} early", means=f"{means} before the first token", stream=before, silent=silent),
        Fault(name=f"{fault} midway", means=f"{means} in the middle", stream=middle, batch=whole, silent=silent),
    ]


BREAKS = [
    *broken("cut", "the connection closes", batch="cut"),
    *broken("reset", "the connection is reset", batch="reset@50"),
    *broken("end", "the body ends properly, the answer doesn't,", batch="end"),
    *broken("truncated", "the body ends inside an event", batch="truncated"),
    *broken("damaged", "an event is no JSON", batch="damaged"),
    *broken("not_utf8", "an event is no UTF-8", batch="not_utf8"),
    *broken("error", "an error event"),
    *broken("stall", "nothing more comes", batch="stall", error=TIMEOUT, silent=True),
    odd(
        "damaged at once",
        "tokens, and an event that is no JSON, in one piece",
        f"fault=damaged@{MIDDLE}",
        then=Then.NEXT,
    ),
    odd("error at once", "tokens, and an error event, in one piece", f"fault=error@{MIDDLE}", then=Then.NEXT),
    Fault(
        name="no finish",
        means="all the text, and the end without a finish reason",
        stream=Play(scenario=f"fault=end@{LAST - 1}", then=Then.BROKEN),
        breaks_after=TOKENS,
    ),
    Fault(
        name="one of two",
        means="the connection closes between the endings of two choices",
        stream=Play(scenario=f"fault=cut@{2 + 2 * TOKENS + 1}", then=Then.BROKEN),
        choices=2,
        opening=2,
        breaks_after=TOKENS,
    ),
    Fault(
        name="bad_length",
        means="less comes than the framing says (of a stream: after its end)",
        stream=Play(scenario="fault=bad_length", then=Then.ANSWERS),
        batch=Play(scenario="fault=bad_length", then=Then.NEXT),
    ),
    Fault(
        name="endless",
        means="it stalls in the middle, and the call's time is up",
        stream=Play(scenario=f"fault=stall@{MIDDLE}", then=Then.LATE, error=TIMEOUT),
        hasty=True,
    ),
]

WITHOUT_USAGE = [
    odd(f"{fault} late", f"{means} after the finish", f"fault={fault}@{LAST}", bill=Bill.OWN)
    for fault, means in (
        ("cut", "the connection closes"),
        ("reset", "the connection is reset"),
        ("end", "the body ends"),
        ("truncated", "the body ends inside an event"),
        ("damaged", "an event is no JSON"),
        ("error", "an error event"),
        ("stall", "nothing more comes"),
    )
] + [
    both("no usage", "no usage comes", "usage=missing", Then.ANSWERS, bill=Bill.OWN),
    both("absurd usage", "usage of a billion tokens", "usage=absurd", Then.ANSWERS, bill=Bill.OWN),
    both(
        "negative usage",
        "usage below zero",
        "usage_raw=%7B%22prompt_tokens%22:5%2C%22completion_tokens%22:-9%7D",
        Then.ANSWERS,
        bill=Bill.OWN,
    ),
    both("empty", "no token and no finish reason", "fault=empty", Then.ANSWERS, bill=Bill.FREE, finish=None, text=""),
    both("finish error", "the finish reason is `error`", "finish=error", Then.ANSWERS, bill=Bill.FREE, finish="error"),
]

ODD = [
    odd("crlf", "lines end with CR and LF", "crlf=on"),
    odd("comments", "a comment before every event", "comments=on"),
    odd("bom", "a byte order mark", "bom=on"),
    odd("ids", "`event:`, `id:` and `retry:` lines", "ids=on"),
    odd("multiline", "an event over several `data:` lines", "multiline=on"),
    odd("noise", "an event that is neither JSON nor the end", f"fault=noise@{MIDDLE}", extra=1),
    odd("unframed", "the body ends with the connection", "chunked=off"),
    odd("no [DONE]", "no `[DONE]` after the rest", "done=off"),
    odd("one piece", "all events in one write", "burst=100", stepwise=False),
    odd("no role", "the first token carries the role", "role_chunk=off", opening=0),
    odd("split characters", "pieces end inside characters", f"split=char&text={EIGHT_WORDS}", text=EIGHT_WORDS_READ),
    odd("usage in finish", "the usage comes with the finish", "usage=in_finish", said_with_finish=True),
    odd("usage unasked", "the usage comes asked for or not", "usage=final"),
    odd("usage null", "`usage: null` in every event but one", "usage=null_everywhere"),
    odd("usage so far", "the usage so far in every event", "usage=cumulative", said_with_finish=True, said_so_far=True),
    both("small pieces", "eight bytes at a time", "split=8", Then.ANSWERS),
    both("interim", "100 and 103 before the answer", "fault=interim", Then.ANSWERS),
    both("surplus", "a second answer after each one asked for", "fault=surplus", Then.ANSWERS, before="fault=surplus"),
    both("hangup", "it closes the connection after each answer", "fault=hangup", Then.ANSWERS, before="fault=hangup"),
    both("two choices", "two choices, their tokens in turn", "", Then.ANSWERS, choices=2, opening=2),
    both("length", "the finish reason is `length`", "finish=length", Then.ANSWERS, finish="length"),
    both(
        "filtered",
        "the finish reason is `content_filter`",
        "finish=content_filter",
        Then.ANSWERS,
        finish="content_filter",
    ),
    both("reasons", "the model reasons before it answers", "reasoning=4", Then.ANSWERS, thoughts=4),
]

GROUPS = {
    "It says no": SAYS_NO,
    "It gives no answer": SAYS_NOTHING,
    "It breaks off": BREAKS,
    "It answers, and its usage is missing, absurd or of nothing": WITHOUT_USAGE,
    "It answers in an odd way": ODD,
}
FAULTS = [fault for group in GROUPS.values() for fault in group]
