"""What every store of the books says of an account's usage: sums of posted calls, by UTC day and by whose they were."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.ledger_homes import HOMES, Home
from helpers.ledgers import OTHER, USD, WALLET, credit, fresh_id, hold, post, void
from helpers.postgres import Server
from tollway.domain.commands import Command, UsageBy, UsageReport
from tollway.domain.usage import Usage

FIRST = date(2026, 1, 1)  # START_MS
DAY_MS = 86_400_000
BYS: tuple[UsageBy, ...] = ("day", "model", "provider", "user", "key")

each_by = pytest.mark.parametrize("by", BYS)


@pytest.fixture
async def home(home: Home) -> Home:
    await home.apply(credit(1000 * USD), credit(1000 * USD, OTHER))
    return home


async def spend(home: Home, price: int, *, account: str = WALLET, **fields: Any) -> str:
    """One call that was posted; its id."""
    call = fresh_id()
    await home.apply(hold(price, account=account, id=call), post(call, price, **fields))
    return call


async def usage(
    home: Home, by: UsageBy, *, account: str = WALLET, first: date = FIRST, last: date = FIRST
) -> UsageReport:
    return await home.ledger.usage(account, by=by, first=first, last=last)


def sums(report: UsageReport) -> list[tuple[str | None, int, int]]:
    """Key, calls and charge of each line."""
    return [(line.key, line.calls, line.charged) for line in report.lines]


@each_by
async def test_an_account_without_a_call_has_no_line_and_a_total_of_nothing(home: Home, by: UsageBy) -> None:
    report = await usage(home, by)
    assert (report.lines, report.more) == ((), False)
    assert (report.total.calls, report.total.prompt, report.total.charged) == (0, 0, 0)


@each_by
async def test_tokens_and_money_are_summed_call_by_call(home: Home, by: UsageBy) -> None:
    await spend(home, 700, usage=Usage(prompt=10, completion=5, cached=4, reasoning=3), model="m", user="u", key="k")
    await spend(home, 11, usage=Usage(prompt=100, completion=50, cached=40, reasoning=30), model="m", user="u", key="k")
    (line,) = (await usage(home, by)).lines
    assert line.key == {"day": "2026-01-01", "model": "m", "provider": "openai", "user": "u", "key": "k"}[by]
    assert (line.calls, line.prompt, line.completion, line.cached, line.reasoning) == (2, 110, 55, 44, 33)
    assert line.charged == 711
    assert (await usage(home, by)).total.charged == 711


async def test_a_line_a_model_a_provider_a_user_and_a_key_the_dearest_first(home: Home) -> None:
    await spend(home, 1, model="a", provider="p", user="u-1", key="k-1")
    await spend(home, 5, model="b", provider="p", user="u-2", key="k-1")
    await spend(home, 3, model="a", provider="q")
    assert sums(await usage(home, "model")) == [("b", 1, 5), ("a", 2, 4)]
    assert sums(await usage(home, "provider")) == [("p", 2, 6), ("q", 1, 3)]
    assert sums(await usage(home, "user")) == [("u-2", 1, 5), (None, 1, 3), ("u-1", 1, 1)]
    assert sums(await usage(home, "key")) == [("k-1", 2, 6), (None, 1, 3)]


async def test_lines_of_one_price_are_in_the_order_of_their_calls_then_names(home: Home) -> None:
    for user in ("b", "c", "a", "c"):
        await spend(home, 0, user=user)
    assert [line.key for line in (await usage(home, "user")).lines] == ["c", "a", "b"]


async def test_a_user_without_a_name_is_another_than_none(home: Home) -> None:
    await spend(home, 2, user="")
    await spend(home, 1)
    assert sums(await usage(home, "user")) == [("", 1, 2), (None, 1, 1)]


async def test_a_call_counts_on_the_utc_day_it_was_posted_and_days_are_in_their_order(home: Home) -> None:
    home.clock.ms += DAY_MS - 1
    await spend(home, 10)
    home.clock.ms += 1
    await spend(home, 3)
    home.clock.ms += 20 * DAY_MS
    await spend(home, 5)
    report = await usage(home, "day", last=FIRST + timedelta(days=40))
    assert sums(report) == [("2026-01-01", 1, 10), ("2026-01-02", 1, 3), ("2026-01-22", 1, 5)]


@each_by
async def test_a_period_begins_and_ends_with_its_days(home: Home, by: UsageBy) -> None:
    for price in (1, 10, 100, 1000):
        await spend(home, price, user="u")
        home.clock.ms += DAY_MS
    report = await usage(home, by, first=FIRST + timedelta(days=1), last=FIRST + timedelta(days=2))
    assert (report.total.calls, report.total.charged) == (2, 110)
    assert sum(line.charged for line in report.lines) == 110


@each_by
async def test_only_posted_calls_count(home: Home, by: UsageBy) -> None:
    voided = fresh_id()
    await home.apply(hold(50, id=voided), hold(60), void(voided, usage=Usage(prompt=1, completion=1)))
    assert (await usage(home, by)).lines == ()


@each_by
async def test_what_counts_is_what_was_charged_not_what_was_asked(home: Home, by: UsageBy) -> None:
    call = fresh_id()
    await home.apply(hold(400, id=call), post(call, 700, 650, over_max=50))
    assert (await usage(home, by)).total.charged == 450


@each_by
async def test_a_repeated_post_counts_once_and_a_late_one_on_the_day_it_came(home: Home, by: UsageBy) -> None:
    call, late = fresh_id(), fresh_id()
    posts: list[Command] = [post(call, 30, user="u"), post(call, 30, user="u")]
    await home.apply(hold(50, id=call), hold(50, id=late), *posts)
    await home.restart()
    await home.one(posts[0])
    home.clock.ms += DAY_MS
    await home.one(post(late, 7, user="u"))
    assert (await usage(home, by)).total.charged == 30
    assert (await usage(home, by, last=FIRST + timedelta(days=1))).total.charged == 37


@each_by
async def test_an_account_sees_its_own_usage_alone(home: Home, by: UsageBy) -> None:
    await spend(home, 5, user="u")
    await spend(home, 9, account=OTHER, user="u")
    assert (await usage(home, by)).total.charged == 5
    assert (await usage(home, by, account="eip155:0x" + "00" * 20)).total.calls == 0


@each_by
async def test_a_call_of_unknown_usage_counts_with_its_charge_alone(home: Home, by: UsageBy) -> None:
    await spend(home, 5, usage=None)
    await spend(home, 6, usage=Usage(prompt=2, completion=1))
    total = (await usage(home, by)).total
    assert (total.calls, total.prompt, total.completion, total.charged) == (2, 2, 1, 11)


async def test_usage_is_the_same_after_a_restart(home: Home) -> None:
    await spend(home, 5, model="m", user="u", key="k")
    before = [await usage(home, by) for by in BYS]
    await home.restart()
    assert [await usage(home, by) for by in BYS] == before


async def test_a_report_lists_the_dearest_thousand_users_and_its_total_is_of_all(home: Home) -> None:
    calls = [(fresh_id(), number) for number in range(1003)]
    await home.apply(*(hold(price, id=call) for call, price in calls))
    await home.apply(*(post(call, price, user=f"u-{price}") for call, price in calls))
    report = await usage(home, "user")
    assert report.more
    assert [line.charged for line in report.lines] == list(range(1002, 2, -1))
    assert (report.total.calls, report.total.charged) == (1003, sum(range(1003)))


@pytest.mark.parametrize("days", [-1, 366, 100_000])
async def test_a_period_has_a_limit(home: Home, days: int) -> None:
    with pytest.raises(ValueError, match="period"):
        await usage(home, "day", last=FIRST + timedelta(days=days))
    assert (await usage(home, "day", last=FIRST + timedelta(days=365))).lines == ()


call_values = st.fixed_dictionaries(
    {
        "price": st.integers(0, 10**12),
        "model": st.sampled_from("ab"),
        "provider": st.sampled_from("pq"),
        "user": st.sampled_from([None, "", "u", "w"]),
        "usage": st.none() | st.builds(Usage, prompt=st.integers(0, 10**9), completion=st.integers(0, 10**9)),
        "day": st.integers(0, 3),
    }
)


@settings(max_examples=15, deadline=None)
@given(calls=st.lists(call_values, max_size=12), first=st.integers(0, 3), length=st.integers(0, 3))
async def test_all_stores_say_the_same_and_every_way_to_divide_it_comes_to_the_same_total(
    calls: list[dict[str, Any]],
    first: int,
    length: int,
    tmp_path_factory: pytest.TempPathFactory,
    postgres: Callable[[], Server],
) -> None:
    period = {"first": FIRST + timedelta(days=first), "last": FIRST + timedelta(days=first + length)}
    reports: list[list[UsageReport]] = []
    for make in HOMES.values():
        home = make(tmp_path_factory.mktemp("books"), postgres)
        await home.open()
        await home.one(credit(10**15))
        start_ms = home.clock.ms
        for fields in calls:
            home.clock.ms = start_ms + fields["day"] * DAY_MS
            await spend(home, **{name: value for name, value in fields.items() if name != "day"})
        reports.append([await usage(home, by, **period) for by in BYS])
        await home.close()
    assert all(said == reports[0] for said in reports)
    within = [fields for fields in calls if first <= fields["day"] <= first + length]
    for report in reports[0]:
        assert report.total == reports[0][0].total
        assert (report.total.calls, report.total.charged) == (len(within), sum(call["price"] for call in within))
        for name in ("calls", "prompt", "completion", "cached", "reasoning", "charged"):
            assert sum(getattr(line, name) for line in report.lines) == getattr(report.total, name)
