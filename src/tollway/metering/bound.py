"""The most a call can cost at one candidate: what a hold reserves before anything is sent. Pure integers.

A prompt has at most as many tokens as its text has bytes, plus what the model's chat template adds; a part that is no
text has at most the model's ceiling for its kind. Whatever it is made of, a prompt has at most the context length.
"""

from collections.abc import Collection

from tollway.domain.call import Call
from tollway.domain.plan import Candidate
from tollway.domain.price import Price, Rates
from tollway.metering.cost import SOLD_PER_NANO, features_price


def hold_bound(call: Call, candidate: Candidate, max_tokens: int | None = None) -> int:
    """An upper bound of what the wallet pays, in nano-USD. `max_tokens` lowers the call's own output limit."""
    price, factor = candidate.tariff.selling
    fixed, per_token = _pico(call, candidate, price)
    pico = fixed + per_token * output_limit(call, candidate, max_tokens)
    return -(-pico * factor // SOLD_PER_NANO)


def affordable_max_tokens(call: Call, candidate: Candidate, available: int) -> int:
    """The largest `max_tokens` whose `hold_bound` is at most `available` nano-USD, within the call's own limit; 0 when
    not even one token fits."""
    price, factor = candidate.tariff.selling
    fixed, per_token = _pico(call, candidate, price)
    limit = output_limit(call, candidate)
    if factor == 0:
        return limit  # a markup of -100 %
    left = available * SOLD_PER_NANO // factor - fixed
    if left < 0:
        return 0
    return limit if per_token == 0 else min(limit, left // per_token)


def output_limit(call: Call, candidate: Candidate, max_tokens: int | None = None) -> int:
    """The most tokens one choice can have: the caller's cap, the router's lower one, or what the model can put out."""
    limit, asked = candidate.max_output_tokens, call.max_tokens
    if asked is not None and asked < limit:
        limit = asked
    return limit if max_tokens is None else min(limit, max_tokens)


def prompt_bound(call: Call, candidate: Candidate) -> int:
    """The most tokens the prompt can have."""
    prompt = call.prompt
    tokens = prompt.text_bytes + candidate.template_tokens + candidate.message_tokens * prompt.messages
    if prompt.parts:
        tokens += parts_ceiling(prompt.parts, candidate)
    return tokens if tokens < candidate.context_length else candidate.context_length


def parts_ceiling(parts: Collection[tuple[str, int]], candidate: Candidate) -> int:
    """The most tokens that parts other than text can have: the context length for each of a kind without a ceiling."""
    ceilings = candidate.part_tokens
    return sum(count * ceilings.get(kind, candidate.context_length) for kind, count in parts)


def _pico(call: Call, candidate: Candidate, price: Price) -> tuple[int, int]:
    """Pico-USD for everything but the answer, and for one more token of each choice."""
    prompt, fees = prompt_bound(call, candidate), 0
    input_rate, output_rate = price.rates.dearest
    if price.tiers or call.features or call.prompt.parts:
        for rates in (price.rates, *(tier.rates for tier in price.tiers if tier.above < prompt)):
            input_dear, output_dear = _dearest(call, rates)
            input_rate, output_rate = max(input_rate, input_dear), max(output_rate, output_dear)
        fees = features_price(call.features, price)
    return prompt * input_rate + fees, call.n * output_rate


def _dearest(call: Call, rates: Rates) -> tuple[int, int]:
    """`Rates.dearest` for what the call may have in it: parts that aren't text may come at rates of their own."""
    input_rate, output_rate = rates.dearest
    if call.prompt.parts:
        input_rate = max(input_rate, rates.audio_input or 0, rates.image_input or 0)
    if "audio_output" in call.features:
        output_rate = max(output_rate, rates.audio_output or 0)
    return input_rate, output_rate
