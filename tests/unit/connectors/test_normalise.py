"""ccxt structures to tape rows: exact integers, sides, stamps, books by difference, klines, clock."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.instrument import Instrument
from agent.core.market.late_rows import mark_late
from agent.core.market.tape import EventArray, Flag, Kind
from connectors.clock_offset import ClockOffset
from connectors.kline_rows import bar_rows, binance_bar_rows
from connectors.normalise import (
    BookDiffer,
    Scale,
    Unit,
    bbo_rows,
    trade_columns,
    trade_ids,
    trade_rows,
    usable,
)

BTC = Instrument(3, "binance", "BTC/USDT", "BTC", "USDT", "USDT", Decimal("0.01"), Decimal("0.00001"))
SCALE = Scale.of(BTC)


def trade(trade_id: Any, price: str, amount: str, ms: int, side: str = "buy") -> dict[str, Any]:
    """A trade as ccxt unifies it from the exchange's strings."""
    return {
        "id": trade_id,
        "price": float(price),
        "amount": float(amount),
        "timestamp": ms,
        "side": side,
        "info": {"p": price, "q": amount},
    }


@given(
    st.sampled_from(["0.01", "0.00001", "0.00000001", "0.5", "0.25", "0.05", "1", "10"]),
    st.lists(st.integers(0, 2**50), min_size=1, max_size=20),
)
def test_every_multiple_of_a_tick_converts_exactly(tick: str, counts: list[int]) -> None:
    """A double parsed from the decimal string of n ticks gives n, for all usual ticks and n to 2**50."""
    size = Decimal(tick)
    texts = [str(size * n) for n in counts]
    got, off = Unit.of(size).counts([float(t) for t in texts], texts)
    assert got.tolist() == counts
    assert off == 0


def test_beyond_exact_doubles_the_exchange_s_string_decides() -> None:
    """A size with 18 digits, which a double cannot hold, is taken from the raw string, exactly."""
    text = "123456789.12345678"
    got = trade_columns(
        [trade("1", "1.00", text, 1)], Scale(0, Unit.of(Decimal("0.01")), Unit.of(Decimal("1e-9")))
    )
    assert got.lots.tolist() == [123456789123456780]
    assert got.off_tick == 0


def test_off_tick_prices_are_rounded_and_counted() -> None:
    """A price between two ticks is not dropped: it is rounded to the nearest and counted."""
    got = trade_columns([trade("1", "10.004", "1", 1), trade("2", "10.01", "1", 2)], SCALE)
    assert got.ticks.tolist() == [1000, 1001]
    assert got.off_tick == 1


def test_trade_rows_carry_id_side_stamp_and_flags() -> None:
    """Taker side, id, integers and the corrected exchange stamp land in the row; recv and seq stay 0."""
    trades = [trade("7", "61837.63", "0.02", 1_000), trade("8", "61837.64", "0.00001", 1_001, "sell")]
    rows = trade_rows(trade_columns(trades, SCALE), SCALE.number, 5_000_000, Flag.BACKFILL)
    assert rows["ext_id"].tolist() == [7, 8]
    assert rows["side"].tolist() == [1, -1]
    assert rows["price_ticks"].tolist() == [6183763, 6183764]
    assert rows["qty_lots"].tolist() == [2000, 1]
    assert rows["exch_ns"].tolist() == [995_000_000, 996_000_000]
    assert set(rows["instrument"].tolist()) == {3}
    assert set(rows["flags"].tolist()) == {int(Flag.BACKFILL | Flag.LAST)}
    assert not rows["recv_ns"].any()
    assert not rows["seq"].any()


def test_ids_that_are_no_numbers_are_hashed_stably() -> None:
    """A uuid becomes the same 63-bit number each time, numbers stay what they are, and it is said."""
    trades = [trade("0c6b-uuid", "1", "1", 1), trade("42", "1", "1", 1), trade(None, "1", "1", 1)]
    first, again = trade_columns(trades, SCALE), trade_columns(trades, SCALE)
    assert first.hashed
    assert first.ids.tolist() == again.ids.tolist()
    assert first.ids[1] == 42
    assert len(set(first.ids.tolist())) == 3
    assert bool((first.ids >= 0).all())


def test_trades_without_price_or_stamp_are_left_out() -> None:
    """A trade that lacks what a row needs is not guessed at."""
    broken: dict[str, Any] = {**trade("1", "1", "1", 1), "price": None}
    whole = trade("2", "1", "1", 1)
    assert usable([broken, whole, {**whole, "timestamp": None}]) == [whole]


def test_late_is_older_than_any_row_before() -> None:
    """LATE compares with the newest stamp so far, across batches; equal stamps are not late."""
    rows = trade_rows(
        trade_columns([trade(str(i), "1", "1", ms) for i, ms in enumerate([5, 5, 4, 6])], SCALE), 0, 0
    )
    newest, late = mark_late(rows, 5_000_000)
    assert [bool(f & Flag.LATE) for f in rows["flags"]] == [False, False, True, False]
    assert (newest, late) == (6_000_000, 1)


Levels = dict[int, int]


def apply(book: tuple[Levels, Levels], rows: EventArray) -> None:
    """The naive reader of LEVEL rows."""
    for row in rows:
        side = book[0 if row["side"] > 0 else 1]
        if row["kind"] == Kind.SNAPSHOT_BEGIN:
            book[0].clear()
            book[1].clear()
        elif row["kind"] == Kind.LEVEL and row["qty_lots"] == 0:
            side.pop(int(row["price_ticks"]), None)
        elif row["kind"] == Kind.LEVEL:
            side[int(row["price_ticks"])] = int(row["qty_lots"])


side_strategy = st.dictionaries(st.integers(1, 40), st.integers(1, 9), max_size=25)


@settings(max_examples=60)
@given(st.lists(st.tuples(side_strategy, side_strategy), min_size=1, max_size=8), st.integers(1, 10))
def test_a_reader_of_the_rows_holds_exactly_the_window(
    books: list[tuple[Levels, Levels]], depth: int
) -> None:
    """Applying the rows to an empty book gives the top of every ccxt book in turn, and LAST ends each."""
    differ, held = BookDiffer(SCALE, depth), ({}, {})
    for n, (bid_ticks, ask_ticks) in enumerate(books):
        bids = [[t * 0.01, q * 0.00001] for t, q in sorted(bid_ticks.items(), reverse=True)]
        asks = [[t * 0.01, q * 0.00001] for t, q in sorted(ask_ticks.items())]
        rows = differ.update(bids, asks, 10 * n, n, snapshot=n == 0)
        apply(held, rows)
        assert held[0] == dict(sorted(bid_ticks.items(), reverse=True)[:depth])
        assert held[1] == dict(sorted(ask_ticks.items())[:depth])
        if len(rows):
            assert rows["flags"][-1] & Flag.LAST
            assert not (rows["flags"][:-1] & Flag.LAST).any()


def test_a_snapshot_is_framed_and_a_still_book_restates_its_touch() -> None:
    """BEGIN, levels, END; then an update without change gives one row, so that the book keeps young."""
    differ = BookDiffer(SCALE, 5)
    bids, asks = [[10.0, 1.0], [9.99, 2.0]], [[10.01, 3.0]]
    first = differ.update(bids, asks, 1, 1, snapshot=True)
    assert [Kind(k) for k in first["kind"]] == [Kind.SNAPSHOT_BEGIN, *[Kind.LEVEL] * 3, Kind.SNAPSHOT_END]
    still = differ.update(bids, asks, 2, 2, snapshot=False)
    assert [(r["side"], r["price_ticks"], r["qty_lots"]) for r in still] == [(1, 1000, 100000)]


def test_bbo_rows_give_both_sides_and_skip_what_is_not_known() -> None:
    """Bid and ask with sizes as BBO rows; a ticker without prices gives none."""
    rows = bbo_rows({"bid": 10.0, "bidVolume": 1.0, "ask": 10.01, "askVolume": 2.0}, SCALE, 7)
    assert [(r["kind"], r["side"], r["price_ticks"], r["qty_lots"]) for r in rows] == [
        (Kind.BBO, 1, 1000, 100000),
        (Kind.BBO, -1, 1001, 200000),
    ]
    assert len(bbo_rows({"bid": None, "ask": None}, SCALE, 7)) == 0


def test_klines_keep_their_grid_and_their_money() -> None:
    """Binance's columns are taken as sent; ccxt's lack some, which are estimated or marked unknown."""
    kline = [60_000, "10.00", "12.00", "9.00", "11.00", "2.0", 119_999, "21.5", 7, "0.5", "5.25", "0"]
    full = binance_bar_rows([kline], SCALE, 60_000_000_000, 3_000_000)
    assert full["open_ns"].tolist() == [60_000_000_000]  # 3 ms of clock offset do not leave the grid
    assert (full["base_lots"][0], full["quote_tl"][0]) == (200_000, 215_000_000)
    assert (full["trades"][0], full["taker_base_lots"][0], full["taker_quote_tl"][0]) == (
        7,
        50_000,
        52_500_000,
    )
    plain = bar_rows([[60_000, 10.0, 12.0, 9.0, 11.0, 2.0]], SCALE, 60_000_000_000, -120_000_000_000)
    assert plain["open_ns"].tolist() == [180_000_000_000]
    assert plain["quote_tl"][0] == round(200_000 * (1200 + 900 + 1100) / 3)
    assert plain["taker_base_lots"][0] == -1


def test_the_clock_offsets_worked_example() -> None:
    """The example at the head of ``connectors.clock_offset``: four answers, and what is in use after each."""
    clock = ClockOffset()
    in_use_us = []
    for sent_ms, received_ms, server_ms in (
        *((1_000, 1_040, 6_050), (2_000, 2_004, 7_029)),
        *((3_000, 3_010, 8_036), (4_000, 4_002, 9_028)),
    ):
        clock.add(sent_ms * 10**6, server_ms, received_ms * 10**6)
        in_use_us.append(clock.offset_ns // 1000)
    assert in_use_us == [5_030_500, 5_027_500, 5_027_500, 5_027_500]
    assert clock.round_trip_ns == 2_000_000


def test_the_quickest_answer_sets_the_clock_offset() -> None:
    """Of several round trips the shortest decides, and noise below the step changes nothing."""
    clock = ClockOffset()
    clock.add(0, 1_000, 400_000_000)  # slow: midpoint far off
    clock.add(1_000_000_000, 1_305, 1_010_000_000)  # quick
    assert clock.offset_ns == pytest.approx(300_500_000, abs=1)
    clock.add(2_000_000_000, 2_305, 2_008_000_000)  # quicker, 1 ms away: within the step
    assert clock.offset_ns == pytest.approx(300_500_000, abs=1)
    assert clock.round_trip_ns == 8_000_000


def test_ids_that_are_no_numbers_stay_apart() -> None:
    """A thousand of them, and of trades without an id: as many numbers, the same each time."""
    base = {"symbol": "BTC/USDT", "side": "buy", "price": 1.0, "amount": 1.0, "info": {}}
    for trades in (
        [{**base, "id": f"0x{k:x}-a", "timestamp": 1} for k in range(1000)],
        [{**base, "id": None, "timestamp": k} for k in range(1000)],
    ):
        ids, hashed = trade_ids(trades)  # type: ignore[arg-type]
        assert hashed
        assert len(set(ids.tolist())) == 1000
        assert int(ids.min()) >= 0
        assert int(ids.max()) > 2**60
        again, _ = trade_ids(trades)  # type: ignore[arg-type]
        assert again.tolist() == ids.tolist()
