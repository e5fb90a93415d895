"""What an order is where it says nothing else. Plain values, so that anything may import them."""

from __future__ import annotations

from typing import Final

DEFAULT_MIN_RATE: Final = 0.0
DEFAULT_MAX_RATE: Final = 1.0
"""Least and most share of the whole order in one interval."""

NO_MIN_RATE: Final = 0.0
NO_MAX_RATE: Final = 1.0
"""Rates that bind nothing: what the exact optima are solved for where no limit is given."""

DEFAULT_RISK_AVERSION: Final = 1.0
"""Weight of deviation against gain."""

DEFAULT_TACTIC: Final = "twap_micro"
DEFAULT_ALIGN: Final = "none"
