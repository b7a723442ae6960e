"""One answer as the events of a stream: chat.completion.chunk objects in OpenAI's order, [DONE] last.

Values only: how events are dressed, paced, damaged and sent is stream.py's matter."""

from collections.abc import Iterator

from tollway.simulator.answer import (
    FINGERPRINT,
    Shape,
    render_logprobs,
    render_tool_call,
    render_usage,
)
from tollway.simulator.scenario import Scenario

DONE = b"[DONE]"

# payload, completion tokens in it, whether the pace has a pause before it
Event = tuple[bytes, int, bool]

_OWN_CHUNK_ASKED = ("chunk", "null_everywhere")
_OWN_CHUNK_ALWAYS = ("final", "absurd")


class Chunks:
    """`opening` comes from render_opening; `prompt` is the prompt tokens to report."""

    def __init__(self, scenario: Scenario, shape: Shape, opening: bytes, prompt: int, include_usage: bool) -> None:
        self._scenario = scenario
        self._shape = shape
        self._prompt = prompt
        self._spoken = 0
        style = scenario.usage
        self._own_chunk = style in _OWN_CHUNK_ALWAYS or (style in _OWN_CHUNK_ASKED and include_usage)
        null_usage = b',"usage":null' if style == "null_everywhere" and include_usage else b""
        self._after = b'},"logprobs":null,"finish_reason":null}]%b}' % null_usage
        self._finish_end = null_usage + b"}"
        common = b'%b"service_tier":"default","system_fingerprint":"%b","choices":[' % (opening, FINGERPRINT)
        self._before = [common + b'{"index":%d,"delta":{' % choice for choice in range(shape.choices)]
        self._common = common

    def __iter__(self) -> Iterator[Event]:
        shape, choices = self._shape, range(self._shape.choices)
        roles = dict.fromkeys(choices, b'"role":"assistant",')
        if self._scenario.role_chunk:
            for choice in choices:
                yield self._event(choice, roles.pop(choice) + b'"content":"","refusal":null', 0), 0, False
        yield from self._tokens(b'"reasoning_content":"', [shape.thoughts(choice) for choice in choices], roles)
        content = [shape.content(choice) for choice in choices]
        if shape.tool is not None:
            for call in range(shape.calls):
                runs = [shape.content(choice) for choice in choices]
                yield from self._tool_calls(shape.tool, call, runs, roles)
        elif shape.alternatives is None:
            yield from self._tokens(b'"content":"', content, roles)
        else:
            yield from self._weighed(content, shape.alternatives, roles)
        yield from self._ending()

    def _event(self, choice: int, delta: bytes, tokens: int) -> bytes:
        self._spoken += tokens
        if self._scenario.usage == "cumulative":
            usage = render_usage(self._scenario, self._shape, self._prompt, self._spoken)
            return b'%b%b},"logprobs":null,"finish_reason":null}],"usage":%b}' % (self._before[choice], delta, usage)
        return b"".join((self._before[choice], delta, self._after))

    def _tokens(
        self, member: bytes, runs: list[Iterator[bytes]], roles: dict[int, bytes], end: bytes = b'"'
    ) -> Iterator[Event]:
        if len(runs) == 1 and not roles:
            for piece in runs[0]:
                yield self._event(0, b"".join((member, piece, end)), 1), 1, True
            return
        for pieces in zip(*runs, strict=True):
            for choice, piece in enumerate(pieces):
                role = roles.pop(choice, b"") if roles else b""
                yield self._event(choice, b"".join((role, member, piece, end)), 1), 1, choice == 0

    def _weighed(self, runs: list[Iterator[bytes]], alternatives: int, roles: dict[int, bytes]) -> Iterator[Event]:
        """Tokens of content, each with its log probability."""
        for pieces in zip(*runs, strict=True):
            for choice, piece in enumerate(pieces):
                event = self._event(choice, b'%b"content":"%b"' % (roles.pop(choice, b""), piece), 1)
                logprobs = b'"logprobs":%b' % render_logprobs([piece], alternatives)
                yield event.replace(b'"logprobs":null', logprobs, 1), 1, choice == 0

    def _tool_calls(
        self, tool: str, call: int, runs: list[Iterator[bytes]], roles: dict[int, bytes]
    ) -> Iterator[Event]:
        """One call of the tool in every choice."""
        opening, closing = self._shape.around
        for choice in range(len(runs)):
            members = render_tool_call(tool, choice, call, opening)
            delta = roles.pop(choice, b"") + b'"tool_calls":[{"index":%d,%b}]' % (call, members)
            yield self._event(choice, delta, 0), 0, choice == 0
        fragment = b'"tool_calls":[{"index":%d,"function":{"arguments":"' % call
        yield from self._tokens(fragment, runs, roles, b'"}}]')
        if closing:
            for choice in range(len(runs)):
                yield self._event(choice, fragment + closing + b'"}}]', 0), 0, False

    def _ending(self) -> Iterator[Event]:
        shape, style = self._shape, self._scenario.usage
        usage = render_usage(self._scenario, shape, self._prompt, shape.completion)
        if shape.finish is not None:
            finish = b'},"logprobs":null,"finish_reason":"%b"}]' % shape.finish.encode()
            for choice in range(shape.choices):
                last = choice == shape.choices - 1
                carries = style == "cumulative" or (style == "in_finish" and last)
                end = b',"usage":%b}' % usage if carries else self._finish_end
                yield self._before[choice] + finish + end, 0, choice == 0
        if self._own_chunk:
            yield b'%b],"usage":%b}' % (self._common, usage), 0, False
        if self._scenario.done:
            yield DONE, 0, False
