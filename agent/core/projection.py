"""What bounds allow of an algo's answer: the constraints of a flexible order, by construction.

With remainder R, k intervals left after this one: ``hi = min(max_rate, R)``, less the reserve unless
finishing; ``lo = min(hi, max(min_rate, R - k max_rate))``; the share is clipped to [lo, hi]. Finishing is
possible only when t + 1 >= m and R <= max_rate; the last interval finishes. The same rule, over tensors,
is ``lem.constraints``.
"""

from __future__ import annotations

from agent.core.errors import OrderError

EPSILON = 1e-12


def project(
    share: float,
    finish: bool,
    remaining: float,
    k_left: int,
    m: int,
    t: int,
    min_rate: float,
    max_rate: float,
    lot_share: float,
) -> tuple[float, bool]:
    """Return (share of the whole order to trade in interval ``t``, whether the order ends in it).

    ``remaining``, rates and ``lot_share`` (what must be left for a finishing interval) are shares of the
    whole order. Every input gives a feasible output; what missed fills left beyond the rates expires.
    """
    can_finish = t + 1 >= m and remaining <= max_rate + EPSILON
    if can_finish and (finish or k_left == 0):
        return remaining, True
    if k_left == 0:
        return min(max_rate, remaining), False
    hi = max(0.0, min(max_rate, remaining - lot_share))
    lo = min(hi, max(min_rate, remaining - k_left * max_rate))
    wanted = share if share == share else 0.0  # NaN asks for nothing
    return min(hi, max(lo, wanted)), False


def check_rates(min_rate: float, max_rate: float, m: int, n: int) -> None:
    """Raise OrderError when no schedule keeps the rates: too slow to finish, or too fast to last."""
    if not 0 <= min_rate <= max_rate <= 1 or max_rate <= 0:
        raise OrderError(
            f"rates {min_rate:g}..{max_rate:g} are not allowed: 0 <= min_rate <= max_rate <= 1, max_rate > 0"
        )
    if n * max_rate < 1 - EPSILON:
        raise OrderError(
            f"max_rate {max_rate:g} over {n} intervals trades at most {n * max_rate:.3g} of the order: "
            f"use at least {1 / n:.4g}, or a longer max_duration"
        )
    if m > 1 and (m - 1) * min_rate >= 1 + EPSILON:
        raise OrderError(
            f"min_rate {min_rate:g} completes the order before its min duration of {m} intervals: "
            f"use less than {1 / (m - 1):.4g}, or a shorter min_duration"
        )
