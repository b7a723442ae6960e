"""Where a batch request's time goes inside the router: each stage alone, in one process, without sockets.

CPU microseconds a call, the median of several rounds. What the stages don't explain is the HTTP server's and the
outgoing client's share of the figure that run.py measures from outside."""

import statistics
import time
from collections.abc import Awaitable, Callable

import uvloop

from tollway.auth.policy import SignInSettings
from tollway.auth.signin import SignIn
from tollway.client.siwx import sign_in_header
from tollway.client.wallet import SolanaWallet, account_id
from tollway.domain.answer import Served
from tollway.domain.clock import SystemClock
from tollway.domain.commands import Credit, Hold, Post, Posted
from tollway.domain.ids import new_id
from tollway.domain.money import format_usd
from tollway.domain.plan import Candidate
from tollway.domain.price import Price, Rates, Tariff
from tollway.domain.usage import Charge
from tollway.egress.additions import Tollway, batch_body, usage_object
from tollway.intake.limits import Limits
from tollway.intake.parse import parse
from tollway.ledger.booking import Bookings
from tollway.ledger.memory import MemoryLedger
from tollway.metering import meter, terms
from tollway.routing.breakers import ALL_WELL
from tollway.routing.catalog import Catalog
from tollway.routing.plan import plan
from tollway.upstream.dialects.openai_openai import OpenAIOpenAI
from tollway.upstream.endpoint import Endpoint
from tollway.wire import json

URL = "http://127.0.0.1:8080"
CALLS = 2_000
ROUNDS = 5
REQUEST = json.encode(
    {
        "model": "m/model",
        "max_tokens": 200,
        "messages": [
            {"role": "system", "content": "You are helpful."},
            {"role": "user", "content": "Tell me about the weather in Paris today, in one paragraph."},
        ],
    }
)
ANSWER = json.encode(
    {
        "id": "chatcmpl-0123456789",
        "object": "chat.completion",
        "created": 1_763_800_000,
        "model": "model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "It rains softly on the roofs. " * 8, "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 57, "completion_tokens": 31, "total_tokens": 88},
    }
)


async def measure(work: Callable[[], Awaitable[object]]) -> float:
    """CPU microseconds of one `work`."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(CALLS):
            await work()
        rounds.append((time.process_time() - started) / CALLS * 1e6)
    return statistics.median(rounds)


def alone(work: Callable[[], object]) -> Callable[[], Awaitable[object]]:
    async def run() -> object:
        return work()

    return run


async def main() -> None:
    clock = SystemClock()
    ledger = MemoryLedger(clock)
    wallet = SolanaWallet.new()
    account = account_id(wallet)
    await ledger.apply([Credit(id="credit", account=account, amount=10**15, source="operator", ref="bench")])
    settings = SignInSettings(domains=("127.0.0.1:8080",), chains=("solana:*",))
    sign_in = SignIn(settings, ledger, clock, await ledger.secret("nonces"))
    header = sign_in_header(wallet, URL, 3_000, clock.now_ms()).encode()
    tariff = Tariff(buy=Price(rates=Rates(input=100_000, output=400_000)))
    candidate = Candidate(
        provider="p", model="m/model", upstream="model", tariff=tariff, context_length=100_000, max_output_tokens=1_000
    )
    catalog = Catalog([candidate], {}, ["p"])
    call = parse(REQUEST, id=new_id(clock.now_ms()), limits=Limits())
    chosen = plan(call, catalog, ALL_WELL, seed=1)
    dialect = OpenAIOpenAI(Endpoint(id="p", base_url="http://127.0.0.1:1/v1", api_key="key-0123456789"), clock)
    answer = dialect.answer(ANSWER)
    caller = await sign_in.identify(header, None)
    record = Bookings(ledger, clock).open(caller, call, chosen).record
    tollway = Tollway(request_id=call.id, provider="p", model="m/model", balance_usd="1.00", attempts=())

    def charge() -> Charge:
        return meter.meter(Served(call, candidate, answer), ended="complete", held=10**9)

    async def book() -> None:
        call_id = new_id(clock.now_ms())
        await ledger.apply([Hold(id=call_id, account=account, bounds=(1_000_000,), model="m/model")])
        (posted,) = await ledger.apply([Post(id=call_id, price=1_000, provider="p", cost=900, record=record)])
        assert isinstance(posted, Posted)

    charged = charge()
    stages: dict[str, Callable[[], Awaitable[object]]] = {
        "identify (a sign-in known before)": lambda: sign_in.identify(header, None),
        "parse the request": alone(lambda: parse(REQUEST, id=call.id, limits=Limits())),
        "plan (one candidate)": alone(lambda: plan(call, catalog, ALL_WELL, seed=1)),
        "bound": alone(lambda: terms.terms(call, chosen)),
        "hold and post, in memory": book,
        "the provider's request": alone(lambda: dialect.request(call, candidate)),
        "read the answer": alone(lambda: dialect.answer(ANSWER)),
        "meter": alone(charge),
        "the reply's body": alone(
            lambda: batch_body(
                answer.fields, usage_object(answer.usage, charged.usage, format_usd(charged.price)), tollway
            )
        ),
    }
    total = 0.0
    for name, work in stages.items():
        cost = await measure(work)
        total += cost
        print(f"{name:<36}{cost:>8.1f} us")
    print(f"{'together':<36}{total:>8.1f} us")


if __name__ == "__main__":
    uvloop.run(main())
