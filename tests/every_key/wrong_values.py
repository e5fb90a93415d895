"""A wrong value of every key, and what its refusal must say besides the key."""

from __future__ import annotations

from typing import Any

LAW = {"y": 1.0, "sigma_bps_per_day": 300, "volume_per_day": 2000, "decay": "1m"}
TIER = {"volume": 1000, "maker_ppm": 500, "taker_ppm": 600}
HALT = {"start": "2024-08-09T00:00:00Z", "end": "2024-08-10T00:00:00Z"}
BASES: dict[str, dict[str, Any]] = {
    "venue.impact_laws{}": {"venue": {"impact_laws": {"BTC/USDT": LAW}}},
    "venue.fee_tiers[]": {"venue": {"fee_tiers": [TIER]}},
    "venue.halts[]": {"venue": {"halts": [HALT]}},
    "schedules[]": {"schedules": [{"name": "a", "every": "1m", "order": {"quantity": 1, "algo": "twap"}}]},
}
LATENCY: dict[str, tuple[Any, list[str]]] = {
    "median_ms": (-1, ["greater than or equal to 0"]),
    "sigma": (4, ["less than or equal to 3"]),
    "measured": ("none.csv", ["none.csv", "cannot be read"]),
    "draw": ("sometimes", ["'random' or 'nearest'"]),
}
DURATION = ("5 parsecs", ["90s"])
NUMBER = ("many", ["number"])
WHOLE = ("many", ["integer"])
DECIMAL = ("many", ["decimal"])

WRONG: dict[str, tuple[Any, list[str]]] = {
    "exchange": ("binanse", ["'binanse'", "binance"]),
    "symbol": ("BTC/USDTT", ["BTC/USDTT", "BTC/USDT"]),
    "database": ("nonsense", ["'nonsense'", "sqlite:///PATH"]),
    "out": (5, ["path"]),
    "seed": WHOLE,
    "order.side": ("hold", ["'hold'", "'buy' or 'sell'"]),
    "order.quantity": (-1, ["quantity -1", "positive"]),
    "order.notional": (100, ["exactly one of --quantity and --notional"]),
    "order.benchmark": ("twop", ["'vwap' or 'twap'"]),
    "order.min_duration": ("7s", ["min duration 7s", "multiple of the interval"]),
    "order.max_duration": ("61s", ["max duration 61s", "nearest"]),
    "order.interval": DURATION,
    "order.algo": ("twpa", ["'twpa'", "did you mean twap"]),
    "order.algo_params": ({"rtae": 1}, ["no parameter 'rtae'"]),
    "order.tactic": ("snipe", ["'twap_micro', 'peg' or 'sweep'"]),
    "order.shadows": (["vwapp"], ["'vwapp'", "did you mean vwap"]),
    "order.limit_price": (-5, ["limit price -5", "positive"]),
    "order.participation_cap": (1.5, ["1.5", "(0, 1]"]),
    "order.min_rate": (0.9, ["0.9"]),
    "order.max_rate": (0.01, ["0.01"]),
    "order.risk_aversion": (0, ["greater than 0"]),
    "order.align": ("left", ["'none' or 'grid'"]),
    **{
        f"venue.{kind}.{name}": wrong
        for kind in ("entry", "cancel", "acknowledgement", "market_data")
        for name, wrong in LATENCY.items()
    },
    "venue.maker_fee_ppm": WHOLE,
    "venue.taker_fee_ppm": WHOLE,
    "venue.fee_tiers[].volume": (0, ["greater than 0"]),
    "venue.fee_tiers[].maker_ppm": WHOLE,
    "venue.fee_tiers[].taker_ppm": WHOLE,
    "venue.fee_volume": (-1, ["greater than or equal to 0"]),
    "venue.fee_currency": ("BNB", ["venue.fee_rate", "what one BNB is worth"]),
    "venue.fee_rate": (0, ["greater than 0"]),
    "venue.fee_discount_ppm": (2_000_000, ["1000000"]),
    "venue.queue": ("fifo", ["'risk_averse'"]),
    "venue.queue_power": (0, ["greater than 0"]),
    "venue.reach": ("deep", ["'shown' or 'whole'"]),
    "venue.impact": ("linear", ["'off' or 'sqrt'"]),
    "venue.impact_laws{}.y": (0, ["greater than 0"]),
    "venue.impact_laws{}.sigma_bps_per_day": (0, ["greater than 0"]),
    "venue.impact_laws{}.volume_per_day": (0, ["greater than 0"]),
    "venue.impact_laws{}.decay": DURATION,
    "venue.calibration": ("none.yaml", ["does not exist", "agent calibrate"]),
    "venue.noted_share": (1.5, ["less than or equal to 1"]),
    "venue.price_band_bps": (0, ["greater than 0"]),
    "venue.price_protection_bps": (0, ["greater than 0"]),
    "venue.self_trade": ("wash", ["'cancel_newest' or 'allow'"]),
    "venue.amend": ("win", ["'keep_on_reduce' or 'lose_always'"]),
    "venue.max_quantity": (0, ["greater than 0"]),
    "venue.max_open_orders": (0, ["greater than 0"]),
    "venue.halts[].start": ("noon", ["datetime"]),
    "venue.halts[].end": ("2024-08-08T00:00:00Z", ["ends after it starts"]),
    "venue.halts[].symbol": (5, ["string"]),
    "venue.near_gap": DURATION,
    "venue.on_stale": ("ignore", ["'mark' or 'reject'"]),
    "venue.max_book_age": DURATION,
    "venue.rehearsal.reject_ppm": (2_000_000, ["1000000"]),
    "venue.rehearsal.timeout_ppm": (-1, ["greater than or equal to 0"]),
    "venue.rehearsal.timeout": DURATION,
    "venue.balances": ({"BTC": "many"}, ["decimal"]),
    "bars.half_spread_bps": (-1, ["greater than or equal to 0"]),
    "bars.max_participation": (0, ["greater than 0"]),
    "bars.reach_bps": (0, ["greater than 0"]),
    "risk.max_notional": DECIMAL,
    "risk.max_participation": (1.5, ["less than or equal to 1"]),
    "risk.max_volume_share": (0, ["greater than 0"]),
    "risk.price_collar_bps": (0, ["greater than 0"]),
    "risk.max_child_quantity": DECIMAL,
    "risk.max_orders_per_s": (0, ["greater than 0"]),
    "risk.stale_book": DURATION,
    "tactics.micro_slices": (0, ["greater than or equal to 1"]),
    "tactics.reach_bps": (0, ["greater than 0"]),
    "tactics.repeg": DURATION,
    "tactics.repeg_by": ("magic", ["'cancel' or 'amend'"]),
    "tactics.cross_share": (1, ["less than 1"]),
    "engine.decision_latency": DURATION,
    "engine.lookback": (0, ["greater than or equal to 1"]),
    "engine.settle": DURATION,
    "feed.book_depth": (1, ["greater than or equal to 5"]),
    "feed.stale_after": DURATION,
    "feed.connect_timeout": DURATION,
    "feed.warm_up": DURATION,
    "embedded.market": ("no/such/session", ["no/such/session", "synthetic"]),
    "embedded.seed": WHOLE,
    "embedded.speed": (0, ["greater than 0"]),
    "model.checkpoint": ("none.safetensors", ["none.safetensors", "model.checkpoint"]),
    "schedules[].name": (5, ["string"]),
    "schedules[].cron": (
        "99 * * * *",
        ["schedule 'a'", "cron '99 * * * *' is not understood", "five fields"],
    ),
    "schedules[].every": DURATION,
    "schedules[].order": ({"algo": "twap"}, ["schedule 'a'", "exactly one of --quantity and --notional"]),
    "jobs.heartbeat": DURATION,
    "jobs.rotate_session": DURATION,
}
