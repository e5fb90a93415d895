"""What an importer did with its files: every line accounted for, every fault counted and named."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

_PROBLEMS_NAMED = 20


@dataclass(slots=True)
class ImportReport:
    """What became of every line. Counts, unless the name carries a unit."""

    symbol: str
    files: list[str] = field(default_factory=list)
    market: str = "spot"  # or linear, inverse
    format: str = ""  # what they were read as
    lines: int = 0
    # One of these for each line:
    trades: int = 0
    trades_sharing: int = 0  # to be taken off: trades in one line with another before them
    trade_duplicates: int = 0  # a trade id seen before: dropped
    trades_off_market: int = 0  # not made in the public book (insurance fund, deleveraging): dropped
    trades_other_kind: int = 0  # the same trades in the other of @trade and @aggTrade: dropped
    depth_updates: int = 0  # applied
    depth_before_snapshot: int = 0  # older than the snapshot: dropped
    depth_unsynced: int = 0  # never covered by a snapshot: dropped
    book_tickers: int = 0
    snapshots: int = 0
    snapshots_old: int = 0  # older than the book already built: dropped
    book_rows: int = 0  # one level a line (tardis-csv)
    book_rows_unsynced: int = 0  # the same before any snapshot: dropped
    mark_prices: int = 0  # dropped
    force_orders: int = 0  # dropped
    other_streams: int = 0
    other_symbols: int = 0
    headers: int = 0
    bad_lines: int = 0
    # What they made:
    events: int = 0  # tape rows
    levels: int = 0  # of which book levels, snapshots included
    gaps: int = 0  # sequence breaks of the book and of the trade ids
    book_updates_lost: int = 0
    trades_missing: int = 0  # ids never seen
    ids_off_market: int = 0  # of futures: ids of trades that their files leave out, no gap
    trades_late: int = 0  # stamped earlier than a trade before them: kept, flagged LATE
    crossed: int = 0  # book updates after which the best bid was not below the best ask
    levels_uncrossed: int = 0  # older levels taken off the book because a newer one crossed them
    prices_impossible: int = 0  # trades whose price is far from everything around it: marked on the tape
    prices_rounded: int = 0  # prices off the tick, moved to the nearest
    sizes_rounded: int = 0  # book sizes finer than the lot
    sizes_clipped: int = 0  # sizes above forty billion, held there
    recv_steps_back: int = 0  # receive stamps that stepped back, held at the last one
    clock_offset_ns: int = 0  # the exchange's clock minus the recorder's; removed from exch_ns
    delay_median_ns: int = 0  # received - sent, after the offset is removed
    first_recv_ns: int = 0
    last_recv_ns: int = 0
    tick: str = ""
    lot: str = ""
    contract_size: str = "1"
    tick_inferred: bool = False
    lot_inferred: bool = False
    problems: list[str] = field(default_factory=list)  # the first 20, each with file and line

    @property
    def accounted(self) -> int:
        """Lines that fell in a category; equal to ``lines``."""
        kept = self.trades + self.depth_updates + self.book_tickers + self.snapshots + self.book_rows
        old = self.trade_duplicates + self.trades_off_market + self.trades_other_kind + self.snapshots_old
        unused = self.depth_before_snapshot + self.depth_unsynced + self.book_rows_unsynced
        other = self.mark_prices + self.force_orders + self.other_streams + self.other_symbols
        return kept + old + unused + other + self.headers + self.bad_lines - self.trades_sharing

    def problem(self, text: str) -> None:
        if len(self.problems) < _PROBLEMS_NAMED:
            self.problems.append(text)

    def to_json(self) -> dict[str, object]:
        return asdict(self)
