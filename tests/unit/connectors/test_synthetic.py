"""The synthetic market: the same for the same seed, consistent in itself, and like the real one."""

from __future__ import annotations

import numpy as np
import pytest

from agent.core.errors import OrderError
from agent.core.market.tape import EventArray, Flag, Kind
from connectors.embedded.market_source import RecordedMarket
from connectors.embedded.synthetic.synthetic_market import START_NS, SyntheticMarket, synthetic_session
from connectors.embedded.synthetic.synthetic_symbols import SMALLER, SYMBOLS
from tests.loaded_captures import load
from tests.realdata import capture_files
from tests.unit.connectors.market_stats import market_stats

SECONDS = 650  # as long as the capture
ALIKE = (
    "spread_ticks",
    "touch_lots",
    "depth_10bps_lots",
    "trades_per_s",
    "trade_p90_lots",
    "trade_p99_lots",
    "top_5pct_volume",
    "taker_fano_1s",
    "taker_fano_10s",
    "volume_cv_10s",
    "mid_std_1s_ticks",
)


def _books(rows: EventArray) -> list[tuple[int, int]]:
    """Return (best bid, best ask) after every depth update, by a naive book."""
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    best = []
    for row in rows[(rows["kind"] >= Kind.LEVEL) & (rows["kind"] <= Kind.SNAPSHOT_END)].tolist():
        _, _, _, _, ticks, lots, _, kind, side, flags = row
        if kind == Kind.LEVEL:
            levels = sides[0 if side > 0 else 1]
            levels.pop(ticks, None)
            if lots:
                levels[ticks] = lots
        if flags & Flag.LAST:
            best.append((max(sides[0]), min(sides[1])))
    return best


@pytest.mark.slow
@pytest.mark.parametrize("symbol", ["BTC/USDT", "ETH/USDT"])
def test_statistics_are_within_a_factor_two_of_the_capture(symbol: str) -> None:
    """Spread, depth, size tail and clustering: median of three seeds against the real tape, same measure."""
    _, real_rows, _ = load(capture_files(symbol.replace("/", "").lower()), symbol)
    real = market_stats(real_rows)
    made = [market_stats(synthetic_session(seed, SECONDS, (symbol,))[1]) for seed in (1, 2, 3)]
    for name in ALIKE:
        ratio = np.median([getattr(stats, name) for stats in made]) / getattr(real, name)
        assert 0.5 <= ratio <= 2.0, f"{name}: {ratio:.2f} of the real capture's"
    assert abs(np.median([s.one_tick_spread for s in made]) - real.one_tick_spread) < 0.01


@pytest.mark.slow
def test_interval_returns_are_uncorrelated() -> None:
    """Lag-1 autocorrelation of 1 s mid moves, pooled over eight seeds, is 0 within three errors."""
    measured = [
        market_stats(synthetic_session(seed, 400)[1]).mid_autocorrelation_1s for seed in range(10, 18)
    ]
    error = np.std(measured, ddof=1) / np.sqrt(len(measured))
    assert abs(np.mean(measured)) < 3 * error
    assert error < 0.05


def test_same_seed_same_rows() -> None:
    """A market is a function of its seed, not of the number of passes before it; another seed differs."""
    one, two = (synthetic_session(7, 20, ("BTC/USDT", "ETH/USDT"), past_s=30)[1] for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one[:1000], synthetic_session(8, 20, past_s=30)[1][:1000])


def test_book_is_never_crossed_and_trades_print_at_the_touch() -> None:
    """After each depth update bid < ask, and 95 % of trades are at most 500 ticks from the last BBO."""
    _, rows = synthetic_session(3, 60)
    assert all(bid < ask for bid, ask in _books(rows))
    bids = rows[(rows["kind"] == Kind.BBO) & (rows["side"] > 0)]
    asks = rows[(rows["kind"] == Kind.BBO) & (rows["side"] < 0)]
    assert (bids["price_ticks"] < asks["price_ticks"]).all()
    trades = rows[(rows["kind"] == Kind.TRADE) & (rows["recv_ns"] > bids["recv_ns"][0])]
    at = np.searchsorted(bids["recv_ns"], trades["recv_ns"]) - 1
    buy = trades["side"] > 0
    touch = np.where(buy, asks["price_ticks"][at], bids["price_ticks"][at])
    beyond = trades["side"] * (trades["price_ticks"] - touch)
    assert beyond.min() >= 0  # nobody trades inside the spread
    assert np.mean(beyond == 0) > 0.5
    assert np.mean(beyond <= 500) > 0.95


def test_tape_order_and_ids() -> None:
    """Rows are in order of recv_ns, each update ends with LAST, trade ids have no hole, also past."""
    _, rows = synthetic_session(5, 10, past_s=60)
    assert (np.diff(rows["recv_ns"]) >= 0).all()
    assert rows["flags"][-1] & Flag.LAST
    trades = rows[rows["kind"] == Kind.TRADE]
    assert (np.diff(trades["ext_id"]) == 1).all()
    assert (trades["exch_ns"][trades["flags"] & Flag.HISTORY != 0] <= START_NS).all()
    ends = np.flatnonzero(rows["flags"] & Flag.LAST)
    same = np.diff(rows["recv_ns"]) == 0
    inside = np.setdiff1d(np.arange(len(rows) - 1), ends)
    live = inside[rows["flags"][inside] & Flag.HISTORY == 0]
    assert same[live].all()


def test_pace_of_a_load_test() -> None:
    """Asked for 10,000 trades/s, the generator makes that many within 30 %, with a price no wilder."""
    _, rows = synthetic_session(1, 20, trades_per_s=10_000)
    stats = market_stats(rows)
    assert stats.trades_per_s == pytest.approx(10_000, rel=0.3)
    assert stats.mid_std_1s_ticks < 2 * 770


def test_there_are_twenty_symbols() -> None:
    """Each by one name."""
    assert len(SYMBOLS) == 20


@pytest.mark.parametrize("symbol", [params.symbol for params in SMALLER])
def test_every_small_coin_trades_on_a_whole_book(symbol: str) -> None:
    """Two sides, never crossed, one tick apart most of the time, and prices that move."""
    _, rows = synthetic_session(5, 180, (symbol,))
    best = _books(rows)
    trades = rows[rows["kind"] == Kind.TRADE]
    assert all(0 < bid < ask for bid, ask in best)
    assert np.mean([ask - bid == 1 for bid, ask in best]) > 0.9
    assert len(trades) > 30
    assert len(np.unique(trades["price_ticks"])) > 3
    assert set(trades["side"].tolist()) == {1, -1}


def test_a_small_coins_market_is_its_own_whoever_else_trades() -> None:
    """By seed and name: the same rows alone and beside two others, whose rows it leaves as they were."""
    alone = synthetic_session(7, 20, ("SOL/USDT",), past_s=30)[1]
    _, three = synthetic_session(7, 20, ("BTC/USDT", "ETH/USDT", "SOL/USDT"), past_s=30)
    two = synthetic_session(7, 20, ("BTC/USDT", "ETH/USDT"), past_s=30)[1]
    columns = ["exch_ns", "price_ticks", "qty_lots", "kind", "side"]
    assert np.array_equal(alone[columns], three[three["instrument"] == 2][columns])
    assert np.array_equal(two[columns], three[three["instrument"] < 2][columns])
    assert not np.array_equal(alone[columns], synthetic_session(8, 20, ("SOL/USDT",), past_s=30)[1][columns])


def test_unknown_symbol_is_refused() -> None:
    """A symbol without constants names those that have some."""
    with pytest.raises(OrderError, match=r"PEPE/USDT.*BTC/USDT, ETH/USDT"):
        SyntheticMarket(1, ("PEPE/USDT",))


def test_recorded_market_goes_round() -> None:
    """In rounds, times and ids keep rising and each round has the same trades."""
    instruments, rows = synthetic_session(4, 3, past_s=10)
    market = RecordedMarket.of(instruments, rows, loop=True)
    batches = market.batches()
    played = np.concatenate([next(batches) for _ in range(3)])
    assert (np.diff(played["recv_ns"]) >= 0).all()
    trades = played[played["kind"] == Kind.TRADE]
    assert (np.diff(trades["ext_id"]) == 1).all()
    third = np.split(trades["qty_lots"], 3)
    assert np.array_equal(third[0], third[1])
    assert np.array_equal(third[0], third[2])
    assert len(market.past()) == int((rows["flags"] & Flag.HISTORY != 0).sum())
