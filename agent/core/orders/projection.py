"""The one place where a wanted slice becomes a feasible one. Shares are of the whole order.

With remainder R and k intervals left after this one:

* finishing is possible only when t + 1 >= m and R <= max_rate, and trades all of R; the last interval
  finishes, unless missed fills left more than max_rate: then it trades max_rate and the rest expires;
* any other trades within [lo, hi], hi = min(max_rate, R - one least order) because the last order waits
  for a finishing interval, lo = min(hi, max(min_rate, R - k max_rate)) so that the rest can still be done.

``lem.network.constraints`` is the same rule on tensors; a test holds them equal.
"""

from __future__ import annotations

from math import ceil, isfinite

from agent.core.errors import OrderError

EPS = 1e-9
"""Slack of share comparisons: far below a lot, far above rounding."""


def project(
    share: float,
    finish: bool,
    remaining: float,
    k_left: int,
    m: int,
    t: int,
    min_rate: float,
    max_rate: float,
    least_share: float,
) -> tuple[float, bool]:
    """Return (share to trade in interval ``t``, whether it finishes the order there).

    A ``share`` that is not finite is read as an even split of what is left. Never raises.
    """
    left = max(0.0, remaining)
    if t + 1 >= m and left <= max_rate + EPS and (finish or k_left <= 0):
        return left, True
    if k_left <= 0:
        return min(left, max_rate), False
    wanted = share if isfinite(share) else left / (k_left + 1)
    hi = max(0.0, min(max_rate, left - least_share))
    lo = min(hi, max(min_rate, left - k_left * max_rate))
    return min(max(wanted, lo), hi), False


def fewest_intervals(max_rate: float, share: float = 1.0) -> int:
    """How many intervals a ``share`` of the order takes at least."""
    return ceil(share / max_rate - EPS)


def check_rates(n: int, m: int, min_rate: float, max_rate: float) -> None:
    """Refuse bounds that no schedule satisfies. Raises OrderError naming the reason."""
    if n < 1 or not 0 <= m <= n:
        raise OrderError(
            f"min duration is {m} intervals and max duration {n}: max must be at least 1, min from 0 to max"
        )
    if not 0.0 <= min_rate <= max_rate <= 1.0 or max_rate == 0.0:
        raise OrderError(
            f"rates are min {min_rate:g} and max {max_rate:g} an interval:"
            " they are shares of the order, 0 <= min <= max <= 1 and max above 0"
        )
    if max_rate * n < 1.0 - EPS:
        raise OrderError(
            f"max rate {max_rate:g} over {n} intervals trades only {max_rate * n:.3g} of the order:"
            f" give at least {1 / n:.4g}, or a longer max duration"
        )
    if min_rate * (m - 1) >= 1.0:
        raise OrderError(
            f"min rate {min_rate:g} would complete the order before its min duration of {m} intervals:"
            f" give less than {1 / (m - 1):.4g}, or a shorter min duration"
        )
