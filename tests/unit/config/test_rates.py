"""Rates as operators write them, and limits as the configuration has them."""

import pytest

from helpers.configs import PROVIDER, read, refusal
from tollway.config.rates import rate
from tollway.config.schema import AccountLimits, Limits, ProviderLimits
from tollway.domain.limit import Rate

EVM = "eip155:8453:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("60/min", Rate(60, 60)),
        ("200k/min", Rate(200_000, 60)),
        ("5M/d", Rate(5_000_000, 86_400)),
        ("1/s", Rate(1, 1)),
        ("10 / 2h", Rate(10, 7_200)),
        ("100/15min", Rate(100, 900)),
        ("1/31d", Rate(1, 31 * 86_400)),
    ],
)
def test_a_rate_is_a_count_and_a_period(text: str, found: Rate) -> None:
    assert rate(text) == found


@pytest.mark.parametrize("text", ["", "60", "/min", "60/m", "60/minute", "1.5/s", "-1/s", "60/0s", "60K/s", "60/min\n"])
def test_what_is_no_rate_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match='such as "60/min", "200k/min" or "100/15min"'):
        rate(text)


@pytest.mark.parametrize(
    ("text", "says"), [("0/s", "over zero"), ("999999999999k/s", "at most 1000000000000"), ("1/32d", "at most 31d")]
)
def test_a_rate_has_bounds(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        rate(text)


def test_without_a_word_of_them_calls_at_once_are_limited_and_no_rate_is() -> None:
    limits = read(PROVIDER).limits
    assert limits == Limits()
    assert (limits.requests, limits.tokens, limits.concurrency) == ((), (), 256)


def test_limits_are_read() -> None:
    config = read(
        f"""
        [limits]
        requests = "60/min"
        tokens = ["200k/min", "1M/d"]
        [limits.accounts."{EVM}"]
        requests = []
        concurrency = 5
        [limits.address]
        nonces = "1/s"
        {PROVIDER.replace("base_url", 'limits = { requests = "5/s", concurrency = 2 }' + chr(10) + "base_url")}
        """
    )
    assert config.limits.requests == (Rate(60, 60),)
    assert config.limits.tokens == (Rate(200_000, 60), Rate(10**6, 86_400))
    assert config.limits.accounts == {
        "eip155:0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed": AccountLimits(requests=(), concurrency=5)
    }
    assert config.limits.address.nonces == (Rate(1, 1),)
    assert config.providers[0].limits == ProviderLimits(requests=(Rate(5, 1),), concurrency=2)


def test_the_environment_may_write_several_between_commas() -> None:
    environ = {"TOLLWAY_LIMITS__REQUESTS": "60/min, 1000/d", "TOLLWAY_LIMITS__TOKENS": '["1k/s"]'}
    limits = read(PROVIDER, environ).limits
    assert (limits.requests, limits.tokens) == ((Rate(60, 60), Rate(1000, 86_400)), (Rate(1000, 1),))
    account = {"TOLLWAY_LIMITS__ACCOUNTS": f'{{"{EVM}": {{"tokens": "5/s"}}}}'}
    assert [own.tokens for own in read(PROVIDER, account).limits.accounts.values()] == [(Rate(5, 1),)]


@pytest.mark.parametrize(
    ("line", "key", "says"),
    [
        ('requests = "60"', "limits.requests", "expected a count and a period"),
        ("requests = 60", "limits.requests", 'write a rate such as "60/min", or an array of them'),
        ('requests = ["60/min", 5]', "limits.requests[1]", "write a rate"),
        ('tokens = ["60/min", "1/60s"]', "limits.tokens[1]", "is a second rate for the same period"),
        (f"tokens = [{', '.join(repr(f'1/{n}s') for n in range(1, 11))}]", "limits.tokens", "write at most 8 rates"),
        ("concurrency = 0", "limits.concurrency", "write a whole number from 1"),
        ('request = "60/min"', "limits.request", 'did you mean "requests"?'),
        ('accounts = { bob = { requests = "1/s" } }', "limits.accounts.bob", "expected an account such as"),
        (f'accounts = {{ "{EVM}" = {{ calls = 1 }} }}', f"limits.accounts.'{EVM}'.calls", "unknown key"),
    ],
)
def test_a_mistake_is_named_and_said_how_to_mend(line: str, key: str, says: str) -> None:
    problem = refusal(f"[limits]\n{line}\n{PROVIDER}")
    assert problem.key == key
    assert says in problem.expected
