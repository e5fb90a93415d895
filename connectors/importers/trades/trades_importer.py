"""Trades alone to a session of bars.

Rules kept here:

* without a book nothing can be filled as an exchange would: the session is one of bars, and its fills are
  modelled at an interval's VWAP, which is exact here: the sum of price x amount of its trades;
* a bar is a second long where the trades span less than an hour, ten seconds below a day, else a minute;
  one without a trade stands at the last price with no volume, and nothing fills in it;
* trades are put in order of time; one of an id that came before is dropped and counted, and ids missing
  between those of an archive that numbers without holes are counted and said;
* tick and lot, where not given, are the largest powers of ten up to 1 that divide every price and amount.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.barfiles.calendars import when
from agent.core.arrays import IntArray
from agent.core.errors import InputError
from agent.core.market.tape import BAR, BarArray
from agent.core.types import DAY_NS, NS_PER_S
from connectors.importers.bars.bar_report import BarReport
from connectors.importers.bars.units import in_units, largest_unit, refuse_too_much
from connectors.importers.pipeline import ImportRequest, OpenWriter
from connectors.importers.symbols import MarketKind, Symbol, parse_symbol
from connectors.importers.tick_and_lot import coarser, held_lot
from connectors.importers.trades.trade_tables import Trades, read_trades

LENGTHS_NS = ((3600 * NS_PER_S, NS_PER_S), (DAY_NS, 10 * NS_PER_S), (1 << 62, 60 * NS_PER_S))
"""Below which span bars are how long."""

MOST_BARS = 10_000_000
_OKX_CONTRACT = re.compile(r"[^-]+-[^-]+-(SWAP|\d{6})")
"""BTC-USDT-SWAP and BTC-USDT-241227: counted in contracts, whose size the files do not tell."""

NUMBERED = 0.9  # of the ids follow each other: then a missing one means a missing trade


def import_trades(request: ImportRequest, open_writer: OpenWriter, _spool_at: Path) -> BarReport:
    """Read the files and write the session that ``open_writer`` opens. Raises InputError."""
    symbol = parse_symbol(request.symbol)
    if symbol.market is MarketKind.INVERSE:
        raise InputError(
            f"trades alone of inverse contracts ({symbol.unified}) are not taken: add their book"
        )
    report = BarReport(symbol.unified, [str(p) for p in request.paths], market=symbol.market.value)
    pieces = [read_trades(path, symbol) for path in request.paths]
    trades = _joined(pieces, report)
    size = _contract_size(request, symbol, [piece.name for piece in pieces])
    tick = request.tick or largest_unit(np.unique(trades.price), "tick", "prices")
    lot = request.lot or largest_unit(np.unique(trades.amount), "lot", "amounts")
    if request.lot is None:
        finest, worth = lot, trades.price / float(tick) * trades.amount
        lot = held_lot(symbol.instrument("trades", tick, lot, size), float(worth.max()), float(worth.sum()))
        if lot != finest:
            report.problem(coarser(finest, lot, "amounts"))
    report.tick, report.lot, report.contract_size = (format(unit, "f") for unit in (tick, lot, size))
    report.tick_inferred, report.lot_inferred = request.tick is None, request.lot is None
    rows = _bars(trades, tick, lot, report)
    report.first_recv_ns, report.last_recv_ns = int(rows["recv_ns"][0]), int(rows["recv_ns"][-1])
    report.problem("trades without a book: bars were made of them, and fills are modelled at their VWAP")
    writer = open_writer(symbol.instrument("trades", tick, lot, size), report)
    writer.bars(rows)
    writer.close(report.last_recv_ns)
    return report


def _joined(pieces: list[Trades], report: BarReport) -> Trades:
    """All files in order of time, each trade once."""
    report.lines = sum(piece.rows for piece in pieces)
    time_ns = np.concatenate([p.time_ns for p in pieces])
    if not len(time_ns):
        raise InputError(f"{', '.join(report.files)} hold no trades: give another file")
    report.out_of_order = sum(int((np.diff(p.time_ns) < 0).sum()) for p in pieces)
    order = np.argsort(time_ns, kind="stable")
    ids = _ids(pieces)
    if ids is not None:
        _, first = np.unique(ids[order], return_index=True)
        report.trade_duplicates = len(order) - len(first)
        order = order[np.sort(first)]
        _count_missing(ids[order], report)
    price, amount, side = (
        np.concatenate([getattr(p, name) for p in pieces])[order] for name in ("price", "amount", "side")
    )
    return Trades(time_ns[order], price, amount, side, None, report.lines, "")


def _ids(pieces: list[Trades]) -> IntArray | None:
    known = [p.ids for p in pieces if p.ids is not None]
    return np.concatenate(known) if len(known) == len(pieces) else None


def _count_missing(ids: IntArray, report: BarReport) -> None:
    if len(ids) < 2:
        return
    steps = np.diff(np.sort(ids))
    if (steps == 1).mean() >= NUMBERED:
        report.trades_missing = int((steps - 1).sum())
    if report.trades_missing:
        report.problem(
            f"{report.trades_missing:,} trade ids are missing between {ids.min()} and {ids.max()}: of futures"
            " some are never published, others were lost"
        )


def _contract_size(request: ImportRequest, symbol: Symbol, names: list[str]) -> Decimal:
    """Amounts are in the base currency, but those of OKX's contracts. Raises InputError.

    ``names``: what each file calls the market.
    """
    if request.contract_size is not None:
        return request.contract_size
    counted = [name for name in names if _OKX_CONTRACT.fullmatch(name.upper())]
    if symbol.market is MarketKind.LINEAR and counted:
        raise InputError(
            f"amounts of {counted[0]} are contracts, and what one is worth is not known: give --contract-size"
            f" in {symbol.base}, as the exchange states it"
        )
    return Decimal(1)


def _bars(trades: Trades, tick: Decimal, lot: Decimal, report: BarReport) -> BarArray:
    """BAR rows from the first trade's to the last one's. Raises InputError where they do not fit."""
    span_ns = int(trades.time_ns[-1] - trades.time_ns[0])
    delta_ns = next(length for below, length in LENGTHS_NS if span_ns < below)
    bucket = trades.time_ns // delta_ns
    count = max(2, int(bucket[-1] - bucket[0]) + 1)
    if count > MOST_BARS:
        raise InputError(
            f"trades from {when(int(trades.time_ns[0]))} to {when(int(trades.time_ns[-1]))}: at most"
            f" {MOST_BARS:,} bars are made of them; is one of the times wrong? import fewer files"
        )
    (ticks, off_tick), (lots, off_lot) = in_units(trades.price, tick), in_units(trades.amount, lot)
    report.off_tick, report.off_lot = int(off_tick.sum()), int(off_lot.sum())
    first = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    place = bucket[first] - bucket[0]
    rows = np.zeros(count, BAR)
    rows["open_ns"] = (bucket[0] + np.arange(count)) * delta_ns
    rows["recv_ns"], rows["delta_ns"] = rows["open_ns"] + delta_ns, delta_ns
    rows["seq"] = np.arange(1, count + 1)
    ticks, lots = np.maximum(ticks, 1), np.maximum(lots, 1)
    with np.errstate(over="ignore"):
        worth = np.add.reduceat(ticks * lots, first)
    refuse_too_much(worth, np.ones(len(first)), rows["open_ns"][place], lot)
    _fill(rows, place, first, ticks.astype(np.int64), lots.astype(np.int64), trades.side)
    report.bars = report.events = count
    report.trades, report.interval_ns = len(trades.price), delta_ns
    report.zero_volume = count - len(place)
    return rows


def _fill(
    rows: BarArray, place: IntArray, first: IntArray, ticks: IntArray, lots: IntArray, side: IntArray
) -> None:
    """The bars at ``place`` from trades that begin at ``first``; the others at the last close."""
    last = np.append(first[1:], len(ticks)) - 1
    traded = {
        "open_ticks": ticks[first],
        "close_ticks": ticks[last],
        "high_ticks": np.maximum.reduceat(ticks, first),
    }
    traded["low_ticks"] = np.minimum.reduceat(ticks, first)
    for name, values in traded.items():
        rows[name][place] = values
    empty = np.ones(len(rows), np.bool_)
    empty[place] = False
    newest = np.maximum.accumulate(np.where(empty, 0, np.arange(len(rows))))
    for name in traded:
        rows[name][empty] = rows["close_ticks"][newest[empty]]
    rows["base_lots"][place] = np.add.reduceat(lots, first)
    rows["quote_tl"][place] = np.add.reduceat(ticks * lots, first)
    rows["trades"][place] = last - first + 1
    bought = np.add.reduceat(np.where(side > 0, lots, 0), first)
    bought_tl = np.add.reduceat(np.where(side > 0, ticks * lots, 0), first)
    known = np.minimum.reduceat(np.abs(side), first) > 0
    rows["taker_base_lots"][place] = np.where(known, bought, -1)
    rows["taker_quote_tl"][place] = np.where(known, bought_tl, -1)
