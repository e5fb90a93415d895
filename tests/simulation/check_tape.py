"""The tape against the exchange's own ledger: every trade once, as it was, or in a gap that is named."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from agent.core.market.tape import EventArray, Flag
from agent.core.market.tape import Kind as Row
from tests.simulation.simulated_run import Outcome
from tests.simulation.violation import MS, Database, Kind, S, Violation

UNHEARD_S = 20.0
"""A silent stream is asked for after ten seconds, sooner where the book moves; then REST is asked."""
STAMP_S = 1.5
"""How far a trade's stamp on our clock may be from the truth: the offset is known to half a round trip."""


def of_tape(outcome: Outcome, tape: EventArray, symbol: str, database: Database) -> Iterator[Violation]:
    """Every trade of the orders' window is on the tape once, as it was, or in a gap that is named."""
    parents = [row for row in database.rows("parent_orders") if row["symbol"] == symbol and row["started_ns"]]
    trades = tape[tape["kind"] == Row.TRADE]
    ids, counts = np.unique(trades["ext_id"], return_counts=True)
    if len(twice := ids[counts > 1]):
        yield Violation(Kind.TWICE, f"{symbol}: {len(twice)} trades twice on the tape, as {twice[0]}")
    if not parents or not len(trades):
        return
    ledger = outcome.exchange.trades(symbol)
    yield from _unlike(outcome, trades, ledger, symbol)
    ahead_ns = outcome.exchange.clock.ahead_ns
    from_ms = (min(row["started_ns"] for row in parents) + ahead_ns) // MS
    heard_ns = min(int(tape["recv_ns"][-1]), outcome.closed_after_ns or 2**62)
    until_ms = (min(max(row["ended_ns"] or heard_ns for row in parents), heard_ns) + ahead_ns) // MS - 500
    window = ledger[(ledger["ms"] >= from_ms) & (ledger["ms"] <= until_ms)]
    missing = np.setdiff1d(window["id"], ids)
    unnamed = missing[~_named(missing, tape)]
    last_id, quiet_ms = int(ids[-1]), int(until_ms - UNHEARD_S * 1000)
    old = window["id"][window["ms"] < quiet_ms]
    lost = [int(i) for i in unnamed if i < last_id or (len(old) and i <= old[-1] and not _silent(tape))]
    if lost:
        yield Violation(Kind.LOST, f"{symbol}: {len(lost)} trades lost in no named gap, as {lost[0]}")


def _unlike(outcome: Outcome, trades: EventArray, ledger: np.ndarray, symbol: str) -> Iterator[Violation]:
    at = np.searchsorted(ledger["id"], trades["ext_id"])
    known = at < len(ledger)
    known[known] = ledger["id"][at[known]] == trades["ext_id"][known]
    if (~known).any():
        yield Violation(Kind.RECORDS, f"{symbol}: {int((~known).sum())} trades on the tape that never were")
    own, true = trades[known], ledger[at[known]]
    same = (
        (own["price_ticks"] == true["ticks"])
        & (own["qty_lots"] == true["lots"])
        & (own["side"] == true["side"])
    )
    ahead_ns = outcome.exchange.clock.ahead_ns
    off_ns = own["exch_ns"] - (true["ms"] * MS - ahead_ns)
    if (far := np.abs(off_ns) > STAMP_S * S).any():
        text = f"{symbol}: {int(far.sum())} trades stamped {off_ns[far][0] / S:.1f} s beside their time"
        yield Violation(Kind.RECORDS, text)
    marked = own["flags"] & np.uint32(Flag.IMPOSSIBLE) != 0
    changed = outcome.exchange.changed.get(symbol.replace("/", ""), set())
    excused = marked & np.isin(own["ext_id"], list(changed))
    if (wrong := ~same & ~excused).any():
        row = own[wrong][0]
        yield Violation(Kind.RECORDS, f"{symbol}: {int(wrong.sum())} trades unlike the exchange's, as {row}")


def _named(missing: np.ndarray, tape: EventArray) -> np.ndarray:
    """Which of the ids lie in a gap of trades on the tape. One that ended names how many it lost."""
    of_trades = tape["flags"] & np.uint32(Flag.TRADES) != 0
    named = np.zeros(len(missing), np.bool_)
    begins = tape[(tape["kind"] == Row.GAP_BEGIN) & of_trades]
    ends = tape[(tape["kind"] == Row.GAP_END) & of_trades]
    trades = tape[tape["kind"] == Row.TRADE]
    for begin in begins:
        closing = ends[ends["seq"] > begin["seq"]][:1]
        inside = missing >= begin["ext_id"]
        if len(closing):
            before = trades[trades["seq"] < closing["seq"][0]]
            newest = int(before["ext_id"].max()) if len(before) else 0
            inside &= missing <= newest
            if inside.sum() > closing["qty_lots"][0]:
                continue
        named |= inside
    return named


def _silent(tape: EventArray) -> bool:
    """Whether the stream of trades, or all of it, was known to be silent at the end."""
    marks = tape[
        np.isin(tape["kind"], (Row.STALE, Row.ALIVE)) & (tape["flags"] & np.uint32(Flag.TRADES) != 0)
    ]
    return len(marks) > 0 and int(marks["kind"][-1]) == Row.STALE
