"""What may be changed of an order that works, and which values it may be given.

An amendment comes from outside (a row in ``commands``, a command line): it is checked here before it is
journalled or obeyed, so that no value can stop a run. A limit price is given in money, as text so that it
stays exact (``limit_price``), or in ticks (``limit_price_ticks``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TypeGuard

Amendment = Mapping[str, int | float | str | None]

LIMIT_PRICE, LIMIT_PRICE_TICKS = "limit_price", "limit_price_ticks"
AMENDABLE = frozenset({LIMIT_PRICE, LIMIT_PRICE_TICKS, "participation_cap", "risk_aversion"})
LONGEST_PRICE = 40  # letters
MOST_TICKS = 2**53
MOST_RISK_AVERSION = 1e12


def amendment_fault(amend: Mapping[str, object]) -> str:
    """Why this can be no amendment of any order, or ""."""
    unknown = sorted(str(name)[:40] for name in set(amend) - AMENDABLE)
    if unknown or not amend:
        return f"cannot amend {', '.join(unknown) or 'nothing'}: {', '.join(sorted(AMENDABLE))} can be"
    if LIMIT_PRICE in amend and LIMIT_PRICE_TICKS in amend:
        return f"{LIMIT_PRICE} and {LIMIT_PRICE_TICKS} exclude each other: give one"
    faults = (_FAULT_OF[name](value) for name, value in sorted(amend.items()))
    return "; ".join(fault for fault in faults if fault)


def _limit_fault(value: object) -> str:
    if value is None or (_is_whole(value) and 1 <= value <= MOST_TICKS):
        return ""
    return f"limit price {_shown(value)} is not allowed: it must be a whole number of ticks from 1 to 2^53"


def _price_fault(value: object) -> str:
    if value is None or (isinstance(value, str) and _price(value) is not None):
        return ""
    return (
        f"limit price {_shown(value)} is not allowed: it must be above 0 in the quote currency, as text,"
        " as in '59000.5'"
    )


def _price(text: str) -> Decimal | None:
    try:
        price = Decimal(text) if len(text) <= LONGEST_PRICE and text.isascii() else None
    except InvalidOperation:
        return None
    sensible = price is not None and price.is_finite() and 0 < price <= MOST_TICKS and price.adjusted() > -30
    return price if sensible else None


def _cap_fault(value: object) -> str:
    if value is None or (_is_number(value) and 0 < value <= 1):
        return ""
    return f"participation cap {_shown(value)} is not allowed: it must be in (0, 1], as in 0.1"


def _risk_fault(value: object) -> str:
    if _is_number(value) and 0 < value <= MOST_RISK_AVERSION:
        return ""
    return f"risk aversion {_shown(value)} is not allowed: it must be above 0 and at most 1e12"


_FAULT_OF = {
    LIMIT_PRICE: _price_fault,
    LIMIT_PRICE_TICKS: _limit_fault,
    "participation_cap": _cap_fault,
    "risk_aversion": _risk_fault,
}


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[int | float]:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)[:60]
