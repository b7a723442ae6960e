"""The most a call can cost at one candidate: what a hold reserves before anything is sent. Pure integers.

A prompt has at most as many tokens as its text has bytes, plus what the model's chat template adds; a part that is no
text has at most the model's ceiling for its kind. Whatever it is made of, a prompt has at most the context length.
"""

from collections.abc import Collection

from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.price import Price, Rates
from tollway.metering.cost import features_price, selling


def hold_bound(call: Call, candidate: Candidate, max_tokens: int | None = None) -> int:
    """An upper bound of what the wallet pays, in nano-USD. `max_tokens` lowers the call's own output limit."""
    price, numerator, denominator = selling(candidate.tariff)
    fixed, per_token = _pico(call, candidate, price)
    pico = fixed + per_token * output_limit(call, candidate, max_tokens)
    return -(-pico * numerator // denominator)


def affordable_max_tokens(call: Call, candidate: Candidate, available: int) -> int:
    """The largest `max_tokens` whose `hold_bound` is at most `available` nano-USD, within the call's own limit; 0 when
    not even one token fits."""
    price, numerator, denominator = selling(candidate.tariff)
    fixed, per_token = _pico(call, candidate, price)
    limit = output_limit(call, candidate)
    if numerator == 0:
        return limit  # a markup of -100 %
    left = available * denominator // numerator - fixed
    if left < 0:
        return 0
    return limit if per_token == 0 else min(limit, left // per_token)


def output_limit(call: Call, candidate: Candidate, max_tokens: int | None = None) -> int:
    """The most tokens one choice can have: the caller's cap, the router's lower one, or what the model can put out."""
    limit = candidate.max_output_tokens
    if call.max_tokens is not None:
        limit = min(limit, call.max_tokens)
    return limit if max_tokens is None else min(limit, max_tokens)


def prompt_bound(call: Call, candidate: Candidate) -> int:
    """The most tokens the prompt can have."""
    prompt = call.prompt
    text = prompt.text_bytes + candidate.template_tokens + candidate.message_tokens * prompt.messages
    return min(text + parts_ceiling(prompt.parts, candidate), candidate.context_length)


def parts_ceiling(parts: Collection[tuple[str, int]], candidate: Candidate) -> int:
    """The most tokens that parts other than text can have: the context length for each of a kind without a ceiling."""
    if not parts:
        return 0
    ceilings = candidate.part_tokens
    return sum(count * ceilings.get(kind, candidate.context_length) for kind, count in parts)


def has_other_parts(call: Call) -> bool:
    """Whether the prompt has anything but text in it: only then may its tokens be audio, or more than its bytes."""
    return bool(call.prompt.parts)


def _pico(call: Call, candidate: Candidate, price: Price) -> tuple[int, int]:
    """Pico-USD for everything but the answer, and for one more token of each choice."""
    prompt = prompt_bound(call, candidate)
    sets = [price.rates, *(tier.rates for tier in price.tiers if tier.above < prompt)]
    input_rate = max(_highest_input(rates, parts=has_other_parts(call)) for rates in sets)
    output_rate = max(_highest_output(rates, audio="audio_output" in call.features) for rates in sets)
    return prompt * input_rate + features_price(call.features, price), call.n * output_rate


def _highest_input(rates: Rates, *, parts: bool) -> int:
    """`parts`: what isn't text may come at the rates of audio or images."""
    other = max(rates.audio_input or 0, rates.image_input or 0) if parts else 0
    return max(rates.input, rates.cached_input or 0, rates.cache_write or 0, other)


def _highest_output(rates: Rates, *, audio: bool) -> int:
    """Images are drawn by models that can, whether or not a call says that it wants one."""
    return max(rates.output, rates.reasoning or 0, rates.image_output or 0, (rates.audio_output or 0) if audio else 0)
