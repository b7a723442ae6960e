"""The clock: sign-ins name times, so that one that is off refuses honest callers. Compared with what answers say."""

import statistics
from collections.abc import Sequence

from tollway.cli.doctor.ask import Reply
from tollway.cli.doctor.finding import Area, Finding

UNSURE_S = 2.0  # a Date is of whole seconds, and was on its way for a while

MEND = "have this machine's clock kept right by NTP (timedatectl set-ntp true, or chrony)"


def clock(answers: Sequence[tuple[str, Reply]], skew_max_s: float) -> list[Finding]:
    """`answers` by who sent them; `skew_max_s` is auth.clock_skew."""
    area = Area("clock")
    ahead = [(name, reply.ahead_s) for name, reply in answers if reply.ahead_s is not None]
    if not ahead:
        area.skipped("this machine", "nobody answered with a Date to compare with")
        return area.findings
    # One server whose own clock is off must not condemn ours where there are others.
    median = statistics.median(seconds for _, seconds in ahead)
    names = ", ".join(name for name, _ in ahead)
    off = f"{abs(median):.0f} s {'ahead of' if median > 0 else 'behind'} {names}"
    if abs(median) > max(skew_max_s, UNSURE_S):
        area.problem(
            "this machine",
            f"{off}, over auth.clock_skew ({skew_max_s:g} s): sign-ins of right clocks are refused",
            MEND,
        )
    elif abs(median) > max(skew_max_s / 2, UNSURE_S):
        area.warning("this machine", f"{off}, over half of auth.clock_skew ({skew_max_s:g} s)", MEND)
    else:
        area.ok("this machine", f"agrees with {names}")
    return area.findings
