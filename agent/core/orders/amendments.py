"""What may be changed of an order that works, and which values it may be given.

An amendment comes from outside (a row in ``commands``, a command line): it is checked here before it is
journalled or obeyed, so that no value can stop a run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import TypeGuard

from agent.core.instrument import Instrument

Amendment = Mapping[str, int | float | str | None]

AMENDABLE = frozenset({"limit_price", "limit_price_ticks", "participation_cap", "risk_aversion"})
"""A limit price is a decimal as text, in the quote currency; older commands have one in ticks."""
MOST_LETTERS = 40
MOST_TICKS = 2**53
MOST_RISK_AVERSION = 1e12
MOST_TL = 2**62
"""Of limit price times lots: what 64 bits hold, with room for sums."""


def amendment_fault(amend: Mapping[str, object]) -> str:
    """Why this can be no amendment of any order, or ""."""
    unknown = sorted(str(name)[:40] for name in set(amend) - AMENDABLE)
    if unknown or not amend:
        return f"cannot amend {', '.join(unknown) or 'nothing'}: {', '.join(sorted(AMENDABLE))} can be"
    if "limit_price" in amend and "limit_price_ticks" in amend:
        return "limit_price and limit_price_ticks exclude each other: give one"
    faults = (_FAULT_OF[name](value) for name, value in sorted(amend.items()))
    return "; ".join(fault for fault in faults if fault)


def _price_fault(value: object) -> str:
    if value is None or ((price := _decimal(value)) is not None and price > 0):
        return ""
    return f"limit price {_shown(value)} is not allowed: it must be a positive number as text: '61000.5'"


def _decimal(value: object) -> Decimal | None:
    """A finite decimal of no odd size, written as text."""
    if not isinstance(value, str) or not 0 < len(value) <= MOST_LETTERS:
        return None
    try:
        price = Decimal(value)
    except InvalidOperation:
        return None
    return price if price.is_finite() and abs(price.adjusted()) < MOST_LETTERS else None


def amended_terms(amend: Amendment, instrument: Instrument) -> dict[str, int | float | None]:
    """The terms of an order that an amendment without a fault changes; a price in ticks.

    Raises OrderError for a price between two ticks.
    """
    terms: dict[str, int | float | None] = {}
    for name, value in amend.items():
        if name == "limit_price":
            price = _decimal(value)
            terms["limit_price_ticks"] = None if price is None else instrument.to_ticks(price)
        elif not isinstance(value, str):
            terms[name] = value
    return terms


def _limit_fault(value: object) -> str:
    if value is None or (_is_whole(value) and 1 <= value <= MOST_TICKS):
        return ""
    return f"limit price {_shown(value)} is not allowed: it must be a whole number of ticks from 1 to 2^53"


def _cap_fault(value: object) -> str:
    if value is None or (_is_number(value) and 0 < value <= 1):
        return ""
    return f"participation cap {_shown(value)} is not allowed: it must be in (0, 1], as in 0.1"


def _risk_fault(value: object) -> str:
    if _is_number(value) and 0 < value <= MOST_RISK_AVERSION:
        return ""
    return f"risk aversion {_shown(value)} is not allowed: it must be above 0 and at most 1e12"


_FAULT_OF = {
    "limit_price": _price_fault,
    "limit_price_ticks": _limit_fault,
    "participation_cap": _cap_fault,
    "risk_aversion": _risk_fault,
}


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> TypeGuard[int | float]:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else repr(value)[:60]
