"""Trades alone to a session of trades: a tape without a book.

Rules kept here:

* without a book nothing can be filled as an exchange would: a replay reads the tape as bars of its order's
  slices (``agent.bar_session``) and models fills at their VWAP, which is exact: a sum of price x amount;
* trades are put in order of time; one of an id that came before is dropped and counted;
* ids missing in an archive that numbers without holes are gaps of the tape. Of contracts only a hole of more
  than ``OFF_BOOK_IDS`` is one: trades made outside the book have ids that are never published;
* tick and lot, where not given, are the largest powers of ten up to 1 that divide every price and amount;
  what a given one does not divide is rounded to the nearest and counted.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import numpy as np

from agent.barfiles.calendars import when
from agent.core.arrays import FloatArray, IntArray
from agent.core.errors import InputError
from agent.core.market.tape import EVENT, EventArray, Flag, Kind
from agent.core.money import MOST_TL
from agent.core.types import NS_PER_S
from connectors.continuity.impossible_prices import PriceJudge
from connectors.importers.bars.units import in_units, largest_unit
from connectors.importers.import_report import ImportReport
from connectors.importers.pipeline import BLOCK_ROWS, ImportRequest, OpenWriter, mark_impossible
from connectors.importers.symbols import MarketKind, Symbol, parse_symbol
from connectors.importers.tardis.tardis_files import OFF_BOOK_IDS
from connectors.importers.tick_and_lot import coarser, held_lot
from connectors.importers.trades.trade_tables import Trades, read_trades

LONGEST_NS = 20 * 365 * 86_400 * NS_PER_S
"""From the first trade to the last one: beyond it one of the times is wrong."""

_OKX_CONTRACT = re.compile(r"[^-]+-[^-]+-(SWAP|\d{6})")
"""BTC-USDT-SWAP and BTC-USDT-241227: counted in contracts, whose size the files do not tell."""

NUMBERED = 0.9  # of the ids follow each other: then a missing one means a missing trade
NOTE = "trades without a book: schedules and benchmarks are theirs, fills are modelled"
_HOUR_NS = 3600 * NS_PER_S


def import_trades(request: ImportRequest, open_writer: OpenWriter, _spool_at: Path) -> ImportReport:
    """Read the files and write the session that ``open_writer`` opens. Raises InputError."""
    symbol = parse_symbol(request.symbol)
    if symbol.market is MarketKind.INVERSE:
        raise InputError(
            f"trades alone of inverse contracts ({symbol.unified}) are not taken: they would be bars whose"
            " volumes are contracts; import their book with them (tardis-csv, book-archive or a raw capture)"
        )
    names = [path.name for path in request.paths]
    report = ImportReport(symbol.unified, names, market=symbol.market.value)
    report.problem(NOTE)
    pieces = [read_trades(path, symbol) for path in request.paths]
    trades = joined(pieces, report)
    size = _contract_size(request, symbol, [piece.name for piece in pieces])
    if len(trades.price) < 2:
        raise InputError(
            f"{', '.join(names)} holds one trade of {symbol.unified}, which is no market: give another file"
        )
    tick = request.tick or largest_unit(np.unique(trades.price), "tick", "prices")
    lot = request.lot or largest_unit(np.unique(trades.amount), "lot", "amounts")
    if request.lot is None:
        finest, worth = lot, trades.price / float(tick) * trades.amount
        lot = held_lot(symbol.instrument("trades", tick, lot, size), float(worth.max()), float(worth.sum()))
        if lot != finest:
            report.problem(coarser(finest, lot, "amounts"))
    report.tick, report.lot, report.contract_size = (format(unit, "f") for unit in (tick, lot, size))
    report.tick_inferred, report.lot_inferred = request.tick is None, request.lot is None
    tape = with_gaps(_tape(trades, tick, lot, report), trades.ids, symbol.market, report)
    report.events = len(tape)
    report.first_recv_ns, report.last_recv_ns = int(tape["recv_ns"][0]), int(tape["recv_ns"][-1])
    writer = open_writer(symbol.instrument("trades", tick, lot, size), report)
    for k in range(0, len(tape), BLOCK_ROWS):
        writer.events(tape[k : k + BLOCK_ROWS])
    writer.close(report.last_recv_ns)
    return report


def joined(pieces: list[Trades], report: ImportReport) -> Trades:
    """All files in order of time, each trade once."""
    report.lines = sum(piece.rows for piece in pieces)
    time_ns = np.concatenate([p.time_ns for p in pieces])
    report.other_symbols = report.lines - len(time_ns)
    if not len(time_ns):
        raise InputError(f"{', '.join(report.files)} hold no trades: give another file")
    if back := sum(int((np.diff(p.time_ns) < 0).sum()) for p in pieces):
        report.problem(f"{back:,} trades were not in order of time: sorted")
    ids = _ids(pieces)
    order = np.argsort(time_ns, kind="stable") if ids is None else np.lexsort((ids, time_ns))
    if ids is not None:
        _, first = np.unique(ids[order], return_index=True)
        report.trade_duplicates = len(order) - len(first)
        order = order[np.sort(first)]
    report.trades = len(order)
    price, amount, side = (
        np.concatenate([getattr(p, name) for p in pieces])[order] for name in ("price", "amount", "side")
    )
    kept = None if ids is None else ids[order]
    return Trades(time_ns[order], price, amount, side, kept, report.lines, "")


def _ids(pieces: list[Trades]) -> IntArray | None:
    known = [p.ids for p in pieces if p.ids is not None]
    return np.concatenate(known) if len(known) == len(pieces) else None


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


def _tape(trades: Trades, tick: Decimal, lot: Decimal, report: ImportReport) -> EventArray:
    """TRADE rows, each an update of its own. Raises InputError where they do not fit."""
    first_ns, last_ns = int(trades.time_ns[0]), int(trades.time_ns[-1])
    if last_ns - first_ns > LONGEST_NS:
        raise InputError(
            f"trades from {when(first_ns)} to {when(last_ns)}: is one of the times wrong? correct it or"
            " remove its row"
        )
    (ticks, off_tick), (lots, off_lot) = in_units(trades.price, tick), in_units(trades.amount, lot)
    report.prices_rounded = int(off_tick.sum())
    if off_lot.any():
        report.problem(f"{int(off_lot.sum()):,} amounts off the lot {lot:f}: rounded to the nearest")
    ticks, lots = np.maximum(ticks, 1), np.maximum(lots, 1)
    _refuse_too_much(ticks, lots, trades.time_ns, lot)
    rows = np.zeros(len(ticks), EVENT)
    rows["recv_ns"] = rows["exch_ns"] = trades.time_ns
    rows["ext_id"] = np.arange(len(rows)) if trades.ids is None else trades.ids
    rows["price_ticks"], rows["qty_lots"], rows["side"] = ticks, lots, trades.side
    rows["kind"], rows["flags"] = Kind.TRADE, int(Flag.LAST)
    rows["seq"] = np.arange(1, len(rows) + 1)
    mark_impossible(rows, PriceJudge(), report)
    return rows


def _refuse_too_much(ticks: FloatArray, lots: FloatArray, time_ns: IntArray, lot: Decimal) -> None:
    """Raise InputError where an hour's money, or a price, does not fit 64 bits."""
    hour = time_ns // _HOUR_NS
    first = np.flatnonzero(np.diff(hour, prepend=hour[0] - 1))
    with np.errstate(over="ignore"):
        money = ticks * lots
        worth = np.add.reduceat(money, first)
    if (worth > MOST_TL).any():
        k = int(np.argmax(worth))
        end = first[k + 1] if k + 1 < len(first) else len(ticks)
        most = first[k] + int(np.argmax(money[first[k] : end]))
        raise InputError(
            f"the trades of an hour are worth {worth[k]:.2g} ticks x lots, the largest at"
            f" {when(int(time_ns[most]))}, and at most {MOST_TL:.2g} can be held: give a larger --lot-size"
            f" than {lot:f}, or correct its price and amount if they are wrong"
        )


def with_gaps(tape: EventArray, ids: IntArray | None, market: MarketKind, report: ImportReport) -> EventArray:
    """The tape with the edges of gaps where ids are missing of an archive that numbers its trades."""
    if ids is None or len(ids) < 2:
        return tape
    by_id = np.argsort(ids)
    steps = np.diff(ids[by_id])
    if (steps == 1).mean() < NUMBERED:
        return tape
    forgiven = 0 if market is MarketKind.SPOT else OFF_BOOK_IDS
    report.ids_off_market = int((steps[(steps > 1) & (steps - 1 <= forgiven)] - 1).sum())
    holes = np.flatnonzero(steps - 1 > forgiven)
    if not len(holes):
        return tape
    lost, at = steps[holes] - 1, by_id[holes + 1]
    report.gaps, report.trades_missing = len(holes), int(lost.sum())
    for k in holes[:3]:
        last, number, before = int(ids[by_id[k]]), int(ids[by_id[k + 1]]), tape["exch_ns"][by_id[k + 1]]
        report.problem(f"trades {last + 1} to {number - 1} are missing before {when(int(before))}")
    edges = tape[np.repeat(at, 2)].copy()
    edges["kind"], edges["flags"] = [Kind.GAP_BEGIN, Kind.GAP_END] * len(at), int(Flag.LAST | Flag.TRADES)
    edges["ext_id"] = np.repeat(ids[by_id[holes]], 2)
    edges["price_ticks"] = edges["side"] = 0
    edges["qty_lots"] = np.stack([np.zeros_like(lost), lost], axis=1).ravel()
    out = np.insert(tape, np.repeat(at, 2), edges)
    out["seq"] = np.arange(1, len(out) + 1)
    return out
