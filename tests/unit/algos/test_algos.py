"""The schedules by hand: what each trades, when it finishes, and what it says."""

from __future__ import annotations

from dataclasses import replace
from math import sinh

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.algos.almgren_chriss import holdings_ratio, urgency
from agent.algos.registry import ALGOS, check_params, create
from agent.algos.volume_profile import VolumeProfile, volume_profile
from agent.core.errors import InputError, OrderError
from agent.core.market.bars import FBarArray, empty_fbars
from agent.core.market.tape import BAR, BarArray
from agent.core.types import DAY_NS, NS_PER_S, BenchmarkKind, MarketView, OrderView, Side, TargetKind

MINUTE_NS = 60 * NS_PER_S
NOON_NS = 20_000 * DAY_NS + DAY_NS // 2
ORDER = OrderView(
    side=Side.BUY,
    target_kind=TargetKind.QUANTITY,
    benchmark=BenchmarkKind.VWAP,
    t=0,
    m=2,
    n=4,
    interval_ns=MINUTE_NS,
    start_ns=NOON_NS,
    remaining=1.0,
    lot_share=0.01,
    least_share=0.01,
    min_rate=0.0,
    max_rate=1.0,
    achieved_price=float("nan"),
    benchmark_price=float("nan"),
    arrival_price=100.0,
    own_volume_share=0.0,
    expected_participation=0.1,
    risk_aversion=1.0,
)


def bars(volume: list[float], close: list[float] | None = None) -> FBarArray:
    """One-minute bars that end at noon."""
    rows = empty_fbars(len(volume))
    rows["start_ns"] = NOON_NS - MINUTE_NS * np.arange(len(volume), 0, -1)
    rows["volume"] = volume
    rows["close"] = close if close is not None else 100.0
    return rows


def klines(lots_by_minute: dict[int, int], days: int = 3) -> BarArray:
    """One-minute klines of ``days`` days before noon's day, volume 10 lots but where said."""
    rows = np.zeros(days * 1_440, dtype=BAR)
    minute = np.tile(np.arange(1_440), days)
    rows["delta_ns"] = MINUTE_NS
    rows["open_ns"] = (20_000 - days) * DAY_NS + np.arange(rows.size) * MINUTE_NS
    rows["base_lots"] = [lots_by_minute.get(int(k), 10) for k in minute]
    return rows


def market(rows: FBarArray | None = None, history: BarArray | None = None) -> MarketView:
    empty = empty_fbars(0)
    return MarketView(NOON_NS, MINUTE_NS, empty if rows is None else rows, 100.0, 0.02, history, lot=1.0)


@pytest.mark.parametrize("name", [n for n in ALGOS if n not in ("optimal_stopping", "pov")])
def test_every_algo_ends_the_order(name: str) -> None:
    """In the last interval, and once finish was decided, every baseline trades all that is left."""
    algo = create(name)
    assert algo.name == name
    for order in (replace(ORDER, t=3, remaining=0.3), replace(ORDER, t=1, remaining=0.3, finishing=True)):
        answer = algo.decide(order, market())
        assert (answer.share, answer.finish) == (0.3, True)
        assert answer.reason


def test_immediate_trades_all_and_finishes_at_the_min_duration() -> None:
    """Everything at once; with m = 2 the first interval may not finish, the second does."""
    first = create("immediate").decide(ORDER, market())
    second = create("immediate").decide(replace(ORDER, t=1, remaining=0.01), market())
    assert (first.share, first.finish) == (1.0, False)
    assert (second.share, second.finish) == (0.01, True)
    assert create("immediate").decide(replace(ORDER, m=0), market()).finish


def test_twap_spreads_what_missed_fills_left() -> None:
    """A quarter an interval; after a missed first one, a third."""
    twap = create("twap")
    assert twap.decide(ORDER, market()).share == 0.25
    late = twap.decide(replace(ORDER, t=1, remaining=1.0), market())
    assert late.share == pytest.approx(1 / 3)
    assert "3 intervals" in late.reason


def test_vwap_follows_the_time_of_day() -> None:
    """Four minutes from noon usually trade 40, 20, 20, 20 lots: the first slice is 40 %."""
    history = klines({720: 40, 721: 20, 722: 20, 723: 20})
    answer = create("vwap").decide(ORDER, market(history=history))
    assert answer.share == pytest.approx(0.4)
    assert "3 days" in answer.reason
    later = replace(ORDER, t=2, remaining=0.5)
    at_722 = replace(market(history=history), now_ns=NOON_NS + 2 * MINUTE_NS)
    assert create("vwap").decide(later, at_722).share == pytest.approx(0.25)


def test_vwap_is_flat_without_history_and_says_so() -> None:
    """No klines, or none at this time of day: even shares, and the reason names it."""
    vwap = create("vwap")
    bare = vwap.decide(ORDER, market())
    assert bare.share == 0.25
    assert "flat, so as twap: no volume history" in bare.reason
    morning = klines({})[:600][-30:]
    elsewhere = vwap.decide(ORDER, market(history=morning))
    assert elsewhere.share == 0.25
    assert "lacks this time of day" in elsewhere.reason


def test_profile_never_uses_an_unfinished_kline() -> None:
    """Klines that end after now, however large, change nothing."""
    history = klines({720: 40})
    future = history[:2].copy()
    future["open_ns"] = [NOON_NS - 30 * NS_PER_S, NOON_NS + MINUTE_NS]
    future["base_lots"] = 10**9
    honest = volume_profile(history, NOON_NS)
    shown = volume_profile(np.concatenate([history, future]), NOON_NS)
    assert honest is not None
    assert shown is not None
    np.testing.assert_array_equal(honest.lots, shown.lots)


def test_profile_integrates_across_buckets_and_midnight() -> None:
    """A window over parts of buckets, and over midnight, sums the rate piece by piece."""
    profile = volume_profile(klines({1_439: 30, 0: 60}), NOON_NS)
    assert profile is not None
    midnight = 20_001 * DAY_NS
    half = 30 * NS_PER_S
    assert profile.expected(midnight - half, midnight + half) == pytest.approx(45.0)
    assert profile.expected(midnight - MINUTE_NS, midnight + 2 * MINUTE_NS) == pytest.approx(100.0)


def test_dynamic_vwap_leans_into_a_busy_market() -> None:
    """Three times the usual volume trades more now than the profile; a quiet market less."""
    dynamic = create("vwap_dynamic")
    usual = [10.0] * 20
    flat = klines({})
    normal = dynamic.decide(ORDER, market(bars(usual), flat)).share
    busy = dynamic.decide(ORDER, market(bars([*usual, 30.0, 30.0]), flat)).share
    quiet = dynamic.decide(ORDER, market(bars([*usual, 1.0, 1.0]), flat)).share
    assert normal == pytest.approx(0.25)
    assert quiet < normal - 0.02
    assert busy > normal + 0.02
    assert "no volume seen" in dynamic.decide(ORDER, market()).reason


def test_dynamic_vwap_measures_against_what_is_usual_at_that_minute() -> None:
    """Bars as busy as their minutes always are say nothing of the day, however much they differ."""
    dynamic, usual = create("vwap_dynamic"), {11 * 60 + 50 + k: 10 + 20 * k for k in range(10)}
    seen = bars([float(usual[11 * 60 + 50 + k]) for k in range(10)])
    alike = dynamic.decide(ORDER, market(seen, klines(usual))).share
    assert alike == pytest.approx(create("vwap").decide(ORDER, market(seen, klines(usual))).share)
    seen["volume"] *= 3.0
    assert dynamic.decide(ORDER, market(seen, klines(usual))).share > alike + 0.02


def test_dynamic_vwap_ignores_unknown_bars() -> None:
    """Bars about which nothing is known (NaN) leave the estimate as it was."""
    dynamic = create("vwap_dynamic")
    rows = bars([float("nan")] * 5 + [10.0] * 20)
    assert dynamic.decide(ORDER, market(rows)).share == pytest.approx(0.25)


def test_pov_ends_by_its_rate_or_by_completing() -> None:
    """The last interval trades what the rate gives, and all that is left where ``complete`` says so."""
    pov, last = create("pov"), replace(ORDER, t=3, remaining=0.9)
    answer = pov.decide(last, market(bars([100.0] * 6)))
    assert (answer.share, answer.finish) == (pytest.approx(0.3), True)  # 10 % of 400, less a tenth
    whole = pov.decide(replace(last, params={"complete": 1.0}), market(bars([100.0] * 6)))
    assert (whole.share, whole.finish) == (0.9, True)


def test_pov_keeps_its_share_of_the_volume() -> None:
    """An order of 100 in a market of 100 a minute, 10 %: 10 a minute, and it catches up a miss."""
    pov = create("pov")
    order = replace(ORDER, n=12)
    assert pov.decide(order, market(bars([100.0] * 5))).share == pytest.approx(0.10)
    missed = replace(order, t=2, remaining=0.95)
    assert pov.decide(missed, market(bars([100.0] * 5))).share == pytest.approx(0.25)
    faster = replace(order, params={"rate": 0.5})
    assert pov.decide(faster, market(bars([100.0] * 5))).share == pytest.approx(0.5)


def test_pov_finishes_when_its_share_completes_the_order() -> None:
    """When 10 % of the market's volume covers what is left, it ends, but not before the min duration."""
    pov = create("pov")
    busy = market(bars([2_000.0] * 5))
    assert (pov.decide(ORDER, busy).share, pov.decide(ORDER, busy).finish) == (1.0, False)
    assert pov.decide(replace(ORDER, m=1), busy).finish


def test_pov_without_bars_uses_the_expected_volume() -> None:
    """Order / expected volume = 0.1 over 4 intervals: the market trades 2.5 orders each, 10 % is 0.25."""
    pov = create("pov")
    assert pov.decide(ORDER, market()).share == pytest.approx(0.25)
    blind = pov.decide(replace(ORDER, expected_participation=0.0, n=8), market())
    assert blind.share == pytest.approx(1 / 8)
    assert "no market volume seen" in blind.reason


def test_almgren_chriss_matches_the_published_solution() -> None:
    """Holdings after j of N intervals are sinh(k (N - j)) / sinh(k N), through repeated decisions."""
    close = list(100.0 * np.exp(np.cumsum(0.001 * np.where(np.arange(30) % 2, 1.0, -1.0))))
    view = market(bars([10.0] * 30, close))
    order = replace(ORDER, n=10, m=0, params={"eta": 10.0, "gamma": 2.0, "lambda": 100.0})
    kappa = urgency(0.001, order.n, order.expected_participation, order.risk_aversion, order.params)
    eta_tilde = 10e-4 - 0.5 * 2e-4
    assert 2 * (np.cosh(kappa) - 1) == pytest.approx(100.0 * 0.001**2 / eta_tilde)
    remaining = 1.0
    for t in range(9):
        remaining -= create("almgren_chriss").decide(replace(order, t=t, remaining=remaining), view).share
        assert remaining == pytest.approx(sinh(kappa * (9 - t)) / sinh(kappa * 10), rel=1e-9)


def test_almgren_chriss_limits() -> None:
    """No aversion is a TWAP; great aversion trades at once; without history it is even, and says so."""
    close = list(100.0 * np.exp(np.cumsum(0.001 * np.where(np.arange(30) % 2, 1.0, -1.0))))
    view = market(bars([10.0] * 30, close))
    algo = create("almgren_chriss")
    calm = algo.decide(replace(ORDER, params={"lambda": 0.0}), view)
    assert calm.share == pytest.approx(0.25)
    hasty = algo.decide(replace(ORDER, params={"eta": 0.001, "lambda": 1e9}), view)
    assert hasty.share == pytest.approx(1.0, abs=1e-6)
    averse = [algo.decide(replace(ORDER, risk_aversion=a), view).share for a in (0.1, 1.0, 10.0)]
    assert averse == sorted(averse)
    assert averse[0] < averse[2]
    blind = algo.decide(ORDER, market())
    assert blind.share == 0.25
    assert "volatility unknown" in blind.reason
    assert holdings_ratio(1e-9, 5) == 0.8


def test_unknown_algos_name_the_nearest() -> None:
    """A typo is answered with the name that was meant and all there are."""
    with pytest.raises(InputError, match=r"unknown algo 'twpa': did you mean twap.*almgren_chriss"):
        create("twpa")
    with pytest.raises(InputError, match=r"did you mean lem"):
        create("lemm", also=["lem"])


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("twap", {"rate": 0.1}, "no parameter 'rate': it takes none"),
        ("lem", {"rate": 0.1}, "algo lem has no parameter 'rate': it takes none"),
        ("pov", {"rtae": 0.1}, "did you mean rate"),
        ("pov", {"rate": 0.0}, "above 0 and at most 1"),
        ("pov", {"rate": float("nan")}, "nan"),
        ("almgren_chriss", {"gamma": 5.0, "eta": 2.0}, "eta above gamma"),
        ("almgren_chriss", {"gamma": 5.0}, "give an eta"),
        ("vwap_dynamic", {"persistence": 1.0}, r"0\.999"),
    ],
)
def test_bad_parameters_are_refused(name: str, params: dict[str, float], message: str) -> None:
    """A parameter an algo lacks, or out of range, is an OrderError that says what is allowed."""
    with pytest.raises(OrderError, match=message):
        check_params([name], params)


def test_good_parameters_pass() -> None:
    """What the documentation allows is accepted."""
    check_params(["pov"], {"rate": 1.0})
    check_params(["lem", "twap", "pov"], {"rate": 0.2})  # a shadow's own
    check_params(["almgren_chriss"], {"eta": 3.0, "gamma": 5.0, "lambda": 0.0})


def lots_one_by_one(profile: VolumeProfile, at_ns: int, end_ns: int) -> float:
    """What the profile expects, bucket after bucket."""
    total = 0.0
    while at_ns < end_ns:
        bucket = at_ns % DAY_NS // profile.bucket_ns
        upto_ns = min(end_ns, at_ns - at_ns % DAY_NS + min((bucket + 1) * profile.bucket_ns, DAY_NS))
        total += float(profile.lots[bucket]) * (upto_ns - at_ns) / profile.bucket_ns
        at_ns = upto_ns
    return total


@settings(deadline=None)
@given(
    bucket_s=st.sampled_from([700, 60, 3_600, 86_400]),
    length_s=st.sampled_from([1, 45, 90, 5_000, 100_000]),
    start_s=st.integers(0, 200_000),
)
def test_many_intervals_at_once_are_each_to_the_bit(bucket_s: int, length_s: int, start_s: int) -> None:
    """Shorter and longer than the profile's buckets, over midnight, and where a time of day is unknown."""
    lots = np.random.default_rng(bucket_s).uniform(1.0, 9.0, -(-DAY_NS // (bucket_s * NS_PER_S)))
    lots[len(lots) // 2 :: 17] = np.nan
    profile = VolumeProfile(bucket_s * NS_PER_S, lots, 1)
    starts = (start_s + length_s * np.arange(8)) * NS_PER_S
    each = profile.expected_each(starts, length_s * NS_PER_S)
    alone = [lots_one_by_one(profile, int(s), int(s) + length_s * NS_PER_S) for s in starts]
    assert each.tobytes() == np.array(alone).tobytes()
