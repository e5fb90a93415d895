"""Where things stand in the arrays of the synthetic market's kernel: parameters, state, output."""

from __future__ import annotations

# Places in the parameter vector (float64); see synthetic.SymbolParams for what they mean.
P_NAMES = (
    "base_rate",  # events/s without their own echo
    "echo_fast",  # children an event has by the fast kernel
    "echo_slow",
    "fast_per_s",  # 1 / time constant
    "slow_per_s",
    "regime_sigma",
    "regime_per_s",
    "informed",  # share of events
    "quote_moves",  # share of events
    "jump_ticks",  # mean of the exponential jump of the efficient price
    "keep_side",  # chance that an uninformed taker takes the last one's side
    "size_mu",  # of ln(lots)
    "size_sigma",
    "size_most",
    "maker_mu",  # of ln(lots) of one resting order
    "maker_sigma",
    "walk_ticks",  # how far an uninformed taker walks
    "requote_per_s",  # 1 / mean delay until makers quote again
    "fresh_mu",  # of ln(lots) of a new touch
    "fresh_sigma",
    "touch_mu",  # of ln(lots) a touch is drawn to
    "touch_sigma",
    "touch_pull",  # share of the way at each touch event
    "touch_per_s",
    "level_per_s",  # deeper levels changed
    "level_mu",
    "level_sigma",
    "levels",  # wanted a side
    "reach_ticks",  # deeper levels lie within this of the touch
    "near_share",  # of new levels
    "near_ticks",  # their mean distance
)
(
    BASE_RATE,
    ECHO_FAST,
    ECHO_SLOW,
    FAST,
    SLOW,
    REGIME_SIGMA,
    REGIME_PER_S,
    INFORMED,
    QUOTE_MOVES,
    JUMP,
    KEEP_SIDE,
    SIZE_MU,
    SIZE_SIGMA,
    SIZE_MOST,
    MAKER_MU,
    MAKER_SIGMA,
    WALK,
    REQUOTE,
    FRESH_MU,
    FRESH_SIGMA,
    TOUCH_MU,
    TOUCH_SIGMA,
    TOUCH_PULL,
    TOUCH_PER_S,
    LEVEL_PER_S,
    LEVEL_MU,
    LEVEL_SIGMA,
    LEVELS,
    REACH,
    NEAR_SHARE,
    NEAR_TICKS,
) = range(len(P_NAMES))

# Places in the float state.
EFFICIENT, HEAT_FAST, HEAT_SLOW, REGIME = range(4)
F_SIZE = 4
# Places in the integer state; best prices and sizes are those last published.
NOW, FLUSH, REQUOTE_AT, TRADE_ID, UPDATE_ID, SIDE, N_DIRTY, PUBLISHED = range(8)
I_SIZE = 12  # PUBLISHED .. PUBLISHED + 3: bid ticks, bid lots, ask ticks, ask lots
NEVER = 1 << 62
FLUSH_NS = 100_000_000
CAPACITY = 4096  # levels a side

# Columns of the output.
T_NS, ID, TICKS, LOTS, KIND, SIDE_COL, FLAGS = range(7)
COLUMNS = 7
TRADE, LEVEL, BBO, LAST = 1, 2, 5, 1  # as agent.core.market.tape has them
