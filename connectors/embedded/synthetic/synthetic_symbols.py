"""The symbols of the synthetic market: what makes each of them behave like the real one.

BTC's and ETH's constants were fitted to the raw capture of Binance spot of 2024-08-08 23:54 to 2024-08-09
00:05 UTC (99,574 lines of BTCUSDT, 79,744 of ETHUSDT), imported to tape rows and measured; the measured
values stand beside them. ``tests/unit/connectors/test_synthetic.py`` measures both again.

The others are ETH's market at another price, pace and tick, as quiet as small coins are. They were fitted
to no capture.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import exp, log

import numpy as np

from agent.core.arrays import FloatArray
from connectors.embedded.synthetic.synthetic_layout import P_NAMES


@dataclass(frozen=True, slots=True)
class SymbolParams:
    """One symbol's market. Rates are per second; names as in ``synthetic_layout.P_NAMES``. Sizes in lots."""

    symbol: str
    tick: str
    lot: str
    min_notional: str
    start_price: float
    base_rate: float
    informed: float
    quote_moves: float
    jump_ticks: float
    size_mu: float
    size_sigma: float
    size_most: float
    maker_mu: float
    maker_sigma: float
    walk_ticks: float
    fresh_mu: float
    touch_mu: float
    level_mu: float
    level_sigma: float
    levels: float
    reach_ticks: float
    near_ticks: float
    echo_fast: float
    echo_slow: float
    regime_sigma: float
    fills_per_taker: float  # as this market makes them: an outcome, known by measuring
    fast_per_s: float = 250.0
    slow_per_s: float = 4.0
    regime_per_s: float = 1 / 30
    keep_side: float = 0.75
    requote_per_s: float = 1000.0
    fresh_sigma: float = 1.5
    touch_sigma: float = 1.0
    touch_pull: float = 0.15
    touch_per_s: float = 80.0
    level_per_s: float = 380.0
    near_share: float = 0.3

    def vector(self) -> FloatArray:
        values = asdict(self)
        return np.array([float(values[name]) for name in P_NAMES])

    @property
    def trades_per_s(self) -> float:
        """Mean raw trades a second: takers times the fills that one makes."""
        events = self.base_rate / (1.0 - self.echo_fast - self.echo_slow)
        return events * (1.0 - self.quote_moves) * self.fills_per_taker

    def busier(self, trades_per_s: float) -> SymbolParams:
        """The same market sped up to a mean of ``trades_per_s``, its price no more volatile."""
        by = trades_per_s / self.trades_per_s
        return replace(
            self,
            base_rate=self.base_rate * by,
            fast_per_s=self.fast_per_s * by,
            slow_per_s=self.slow_per_s * by,
            regime_per_s=self.regime_per_s * by,
            requote_per_s=self.requote_per_s * by,
            jump_ticks=self.jump_ticks / by**0.5,
        )


BTC = SymbolParams(
    symbol="BTC/USDT",
    tick="0.01",
    lot="0.00001",
    min_notional="5",
    start_price=61_700.0,
    base_rate=11.0 / 0.75 * (1 - 0.78),  # 10.97 takers/s
    informed=0.25,
    quote_moves=0.25,
    jump_ticks=200.0,  # the mid's standard deviation over 1 s: 770 ticks
    size_mu=log(316),  # taker sizes: median 316, 90 % 10,104, 99 % 104,000, mean 6,138
    size_sigma=2.6,
    size_most=1_400_000,
    maker_mu=log(1500),  # trade sizes: 75 % 1,404, 90 % 5,761, 99 % 32,425
    maker_sigma=2.2,
    walk_ticks=500,
    fresh_mu=log(15_000),
    touch_mu=log(200_000),  # at the touch, mean over time: 212,000 bid, 239,000 ask
    level_mu=log(3_000),  # within 10 bps a side: 4,460,000; a level behind the touch: mean 13,800
    level_sigma=1.75,
    levels=780,  # 789 within 20,000 ticks
    reach_ticks=20_000,
    near_ticks=600,
    echo_fast=0.45,  # variance / mean of takers: 11.9 in 1 s, 27 in 10 s
    echo_slow=0.33,
    regime_sigma=0.5,
    fills_per_taker=2.45,  # 2.79 in the capture
)

ETH = replace(
    BTC,
    symbol="ETH/USDT",
    lot="0.0001",
    start_price=2_682.0,
    base_rate=7.62 / 0.75 * (1 - 0.80),  # 7.62 takers/s
    jump_ticks=10.5,  # 33.6 ticks over 1 s
    size_mu=log(260),  # median 260, 90 % 17,662, 99 % 119,000
    size_sigma=2.75,
    size_most=5_000_000,
    maker_mu=log(2_000),
    walk_ticks=25,
    fresh_mu=log(12_000),
    touch_mu=log(100_000),  # 112,000 bid, 144,000 ask
    level_mu=log(12_000),  # within 10 bps: 5,780,000
    levels=600,  # 519 within 1,000 ticks
    reach_ticks=1_400,
    near_ticks=30,
    echo_fast=0.55,  # variance / mean of takers: 16.1 in 1 s, 47 in 10 s
    echo_slow=0.25,
    regime_sigma=0.7,
    fills_per_taker=2.0,  # 2.93 in the capture
)

_QUIET_REACH = 0.012
"""Share of the price within which a small coin's levels lie."""


def _smaller(base: str, tick: str, lot: str, price: float, pace: float) -> SymbolParams:
    """ETH's market for a coin of another price: ``pace`` of its events, and of the money in every size.

    The quieter it is the wider its jumps, so that it moves as far in a minute, and its book stands on fewer
    levels.
    """
    price_ticks = price / float(tick)
    wider = price_ticks / (ETH.start_price / float(ETH.tick))
    reach = max(40, round(_QUIET_REACH * price_ticks))
    levels = min(120, reach // 2)
    money = log(ETH.start_price * float(ETH.lot) / (price * float(lot)))
    deep = money + log(pace)
    return replace(
        ETH,
        symbol=f"{base}/USDT",
        tick=tick,
        lot=lot,
        start_price=price,
        base_rate=ETH.base_rate * pace,
        fast_per_s=ETH.fast_per_s * pace,
        slow_per_s=ETH.slow_per_s * pace,
        jump_ticks=ETH.jump_ticks * wider / pace**0.5,
        size_mu=ETH.size_mu + deep,
        size_most=ETH.size_most * exp(deep),
        maker_mu=ETH.maker_mu + deep,
        walk_ticks=max(2, round(ETH.walk_ticks * wider)),
        fresh_mu=ETH.fresh_mu + deep,
        touch_mu=ETH.touch_mu + deep,
        level_mu=ETH.level_mu + deep + log(ETH.levels / levels),
        levels=levels,
        reach_ticks=reach,
        near_ticks=max(2, reach // 20),
        touch_per_s=ETH.touch_per_s * pace,
        level_per_s=ETH.level_per_s * pace * levels / ETH.levels,
    )


SMALLER = (
    _smaller("SOL", "0.01", "0.001", 160.0, 0.50),
    _smaller("XRP", "0.0001", "0.1", 0.62, 0.40),
    _smaller("BNB", "0.01", "0.0001", 510.0, 0.35),
    _smaller("DOGE", "0.00001", "1", 0.105, 0.35),
    _smaller("ADA", "0.0001", "0.1", 0.345, 0.30),
    _smaller("AVAX", "0.001", "0.01", 22.5, 0.25),
    _smaller("LINK", "0.001", "0.01", 10.5, 0.25),
    _smaller("LTC", "0.01", "0.001", 62.0, 0.25),
    _smaller("BCH", "0.1", "0.0001", 345.0, 0.20),
    _smaller("TRX", "0.00001", "0.1", 0.127, 0.20),
    _smaller("DOT", "0.001", "0.01", 4.7, 0.20),
    _smaller("NEAR", "0.001", "0.01", 4.1, 0.20),
    _smaller("UNI", "0.001", "0.01", 6.1, 0.15),
    _smaller("ATOM", "0.001", "0.01", 5.2, 0.15),
    _smaller("ETC", "0.001", "0.01", 19.5, 0.15),
    _smaller("FIL", "0.001", "0.01", 3.7, 0.15),
    _smaller("ICP", "0.001", "0.01", 7.5, 0.15),
    _smaller("XLM", "0.00001", "1", 0.1, 0.15),
)

SYMBOLS = {params.symbol: params for params in (BTC, ETH, *SMALLER)}


def draws_of(symbol: str, number: int) -> int:
    """Which of a seed's streams of draws a symbol has that stands at ``number`` in a market.

    Its own, whoever else is traded; BTC and ETH have the one of their place, as they always had.
    """
    return number if symbol in (BTC.symbol, ETH.symbol) else list(SYMBOLS).index(symbol)
