"""Tables that more than one command prints."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from tollway.cli.common import out, print_table
from tollway.domain.money import format_usd
from tollway.ledger.audit import AuditReport


def clock_time(at_ms: int) -> str:
    """UTC, to the second."""
    return dt.datetime.fromtimestamp(at_ms / 1000, dt.UTC).strftime("%Y-%m-%d %H:%M:%S")


def audit_lines(report: AuditReport) -> str:
    """What an audit found, in two lines, differences after them."""
    counts = (
        f"{report.accounts} accounts, {report.credits} credits, {report.holds} holds, {report.posts} posts, "
        f"{report.voids} voids, {report.expired} expired, {report.pending} holds pending"
    )
    money = (
        f"{format_usd(report.credited_total)} USD credited, {format_usd(report.charged_total)} charged, "
        f"{format_usd(report.cost_total)} owed to providers, {format_usd(report.loss_total)} operator loss"
    )
    verdict = "the books balance" if report.clean else f"{report.difference_count} differences"
    mended = ""
    if report.reversals:
        mended += (
            f", {report.reversals} reversals ({format_usd(report.given_back_total)} given back, "
            f"{format_usd(report.taken_back_total)} taken back)"
        )
    if report.payments:
        mended += f", {report.payments} payments to providers ({format_usd(report.paid_total)})"
    return "\n".join((f"{verdict}: {counts}", money + mended, *report.differences))


def _subject(entry: Mapping[str, Any]) -> str:
    """What an entry is for."""
    if entry["kind"] == "reverse":
        return f"{entry.get('ref')} (reverses {entry['id']})"
    return entry.get("model") or entry.get("ref") or ""


def print_statement(entries: Sequence[Mapping[str, Any]]) -> None:
    """Entries in the shape of GET /session/transactions."""
    if not entries:
        out.print("No transactions yet.")
        return
    print_table(
        ("time (UTC)", "kind", "amount USD", "returned USD", "for"),
        [
            (
                clock_time(entry["at"]),
                entry["kind"],
                entry["amount_usd"],
                entry.get("returned_usd") or "",
                _subject(entry),
            )
            for entry in entries
        ],
        right=("amount USD", "returned USD"),
    )
