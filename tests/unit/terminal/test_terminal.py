"""The terminal's views, fed by the real engine on a synthetic tape, read as text at 100 columns."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from functools import cache, partial

import pytest
from rich.console import Console, RenderableType

from agent.app.build import build_engine, inline_policies
from agent.config import Config, Order
from agent.core.events import (
    AuditEvent,
    ChildChanged,
    CommandKind,
    ControlParent,
    DecisionTaken,
    GapSeen,
    ParentChanged,
    RiskRefused,
    SlippageMeasured,
    StartParent,
)
from agent.core.instrument import Instrument
from agent.core.market.feature_names import FEATURE_NAMES, feature_label, forecast_label
from agent.core.market.tape import Flag, Kind, interruption
from agent.core.ports import FeedHealth
from agent.core.types import NS_PER_S, ChildState, Side
from agent.orders import build_spec
from agent.replay import ReplayResult
from agent.shadow import shadow_specs
from agent.summary import Summary
from agent.terminal.closing_tables import render_summary
from agent.terminal.feed_sentences import gap_in_words, health_in_words, refused_in_words
from agent.terminal.formatting import bps, duration, price
from agent.terminal.order_picture import bar
from agent.terminal.order_sentences import decision_in_words, order_in_words, turning_clause
from agent.terminal.replay_view import render_replay
from agent.terminal.rows_table import rows_table
from agent.terminal.run_view import LiveView, PlainView
from connectors.embedded.synthetic.synthetic_market import synthetic_session

COLUMNS = 100
HEALTH = FeedHealth(trades=1234, gaps=1, backfilled=12)
ORDER = Order(
    quantity=Decimal(1),
    min_duration=10 * NS_PER_S,
    max_duration=40 * NS_PER_S,
    interval=5 * NS_PER_S,
    algo="optimal_stopping",
    shadows=("twap", "pov"),
)


@cache
def run(
    side: str = "buy", cancel_after_s: int | None = None, limit_price: int | None = None
) -> tuple[Instrument, tuple[AuditEvent, ...]]:
    """Work ORDER on 110 s of the synthetic market; everything the engine said."""
    instruments, rows = synthetic_session(1, 110, ("BTC/USDT",))
    instrument = instruments[0]
    order = replace(ORDER, side=side, limit_price=limit_price and Decimal(limit_price))
    config = Config(order=order)
    engine = build_engine(config, instruments, inline_policies(config))
    spec = build_spec(order, instrument, "S-P1", None)
    start_ns = int(rows["recv_ns"][0]) + 5 * NS_PER_S
    cut = int(rows["recv_ns"].searchsorted(start_ns, side="right"))
    engine.advance(rows[:cut])
    engine.command(StartParent(start_ns, cut, spec, tuple(shadow_specs(spec, order.shadows))))
    if cancel_after_s is not None:
        at_ns = start_ns + cancel_after_s * NS_PER_S
        middle = int(rows["recv_ns"].searchsorted(at_ns, side="right"))
        engine.advance(rows[cut:middle])
        engine.command(ControlParent(at_ns, middle, CommandKind.CANCEL, "S-P1", "C1"))
        cut = middle
    engine.advance(rows[cut:])
    engine.close(int(rows["recv_ns"][-1]))
    return instrument, tuple(engine.drain())


def until(events: Sequence[AuditEvent], interval: int) -> list[AuditEvent]:
    """The run as it stood a second after the real order's decision of ``interval``."""
    at_ns = next(e.at_ns for e in events if isinstance(e, DecisionTaken) and e.interval == interval)
    return [e for e in events if e.at_ns <= at_ns + NS_PER_S]


def text_of(what: RenderableType) -> str:
    console, out = text_console()
    console.print(what)
    return out.getvalue()


def text_console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=COLUMNS, color_system=None), out


def summary_of(instrument: Instrument, events: Sequence[AuditEvent]) -> Summary:
    summary = Summary([instrument])
    summary.add(events)
    return summary


def printed_summary(summary: Summary) -> list[str]:
    console, out = text_console()
    render_summary(summary, console)
    return out.getvalue().splitlines()


def live_text(events: Sequence[AuditEvent], instrument: Instrument, health: FeedHealth) -> str:
    """One frame of the live view, at the time of the last event."""
    console, _ = text_console()
    view = LiveView(console, now_ns=lambda: events[-1].at_ns if events else 0)
    view.open("S", [instrument], "embedded BTC/USDT")
    view.add(events)
    view.health(health)
    return text_of(view.frame())


# --- words ----------------------------------------------------------------------------------------


def test_an_order_reads_as_a_sentence() -> None:
    """Amount, times, interval and benchmark, for a quantity and for money."""
    instrument, events = run()
    spec = next(e.spec for e in events if isinstance(e, ParentChanged))
    tail = " in a window of 10s to 40s, decided every 5s, to beat vwap"
    assert order_in_words(spec, [instrument]) == f"buy 1.00000 BTC{tail}"
    money = build_spec(
        replace(ORDER, quantity=None, notional=Decimal(50000), side="sell"),
        instrument,
        "S-P2",
        None,
    )
    assert order_in_words(money, [instrument]) == f"sell 50000.00 USDT of BTC{tail}"


def test_numbers_keep_their_sign_and_their_precision() -> None:
    """bps show a sign and no -0.00; prices one decimal more than the tick; the unknown is a dash."""
    instrument, _ = run()
    assert [bps(x) for x in (1.234, -0.001, None, float("nan"))] == ["+1.23", "+0.00", "–", "–"]
    assert price(61837.635, instrument) == "61837.635"
    assert price(0.00001234, replace(instrument, tick=Decimal("0.00000001"))) == "0.000012340"
    assert [duration(s * NS_PER_S) for s in (45, 725, 11220)] == ["45.0 s", "12m 05s", "3h 07m"]


def test_the_bar_fills_to_its_share_and_marks_the_pace() -> None:
    """Ten cells, 40 % full, the mark where 70 % would end; nothing overflows past the ends."""
    assert bar(0.4, 0.7, 10).plain == "━━━━───┃──"
    assert bar(1.7, 1.0, 10).plain == "━━━━━━━━━┃"
    assert bar(-1.0, 0.0, 10).plain == "┃─────────"


# --- live -----------------------------------------------------------------------------------------


def test_the_live_frame_shows_where_the_order_is() -> None:
    """Mid-run: the order in words, its interval, prices, the last five decisions, shadows, the feed."""
    instrument, events = run()
    so_far = until(events, 6)
    text = live_text(so_far, instrument, HEALTH)
    lines = text.splitlines()
    assert "embedded BTC/USDT   session S" in lines[0]
    assert "S-P1  by optimal_stopping, twap_micro" in lines[1]
    assert "interval 7 of 8, may finish after 2" in text
    assert all(f"~{algo}" in text for algo in ORDER.shadows)
    decided = [d for d in so_far if isinstance(d, DecisionTaken) and d.parent_id == "S-P1"][-5:]
    shown = lines[next(i for i, line in enumerate(lines) if line.startswith("#")) + 1 :][:5]
    assert [int(line.split()[0]) for line in shown] == [d.interval for d in decided]
    assert "1,234 trades, 1 gap (12 trades filled in, 0 lost)" in lines[-1]
    assert max(len(line.rstrip()) for line in lines) <= COLUMNS


def test_the_gain_so_far_has_the_sign_of_the_side() -> None:
    """Above the running benchmark a buyer has paid more and a seller has got more."""
    for side in ("buy", "sell"):
        instrument, events = run(side)
        record = summary_of(instrument, until(events, 4)).records["S-P1"]
        average = record.changed.filled_tl / record.changed.filled_lots * float(instrument.tick)
        running = record.decisions[-1].view.benchmark_price
        sign = -1 if record.changed.spec.side is Side.BUY else 1
        gain = record.gain_so_far_bps(instrument)
        assert gain == pytest.approx(sign * (average - running) / running * 1e4)
        assert gain != 0


def test_a_finished_order_says_what_is_still_waited_for() -> None:
    """Between its end and the end of the allowed window the frame says for how long, and why."""
    instrument, events = run("buy", 12)
    ended = next(
        e for e in events if isinstance(e, ParentChanged) and e.spec.parent_id == "S-P1" and e.ended_ns
    )
    text = live_text([e for e in events if e.at_ns <= ended.at_ns], instrument, HEALTH)
    left_s = (ended.started_ns + 40 * NS_PER_S - ended.at_ns) / NS_PER_S
    assert f"the market is watched for {left_s:.1f} s more" in text
    assert "watched" not in live_text(events, instrument, HEALTH)


@pytest.mark.parametrize(
    ("kind", "flags", "sentence"),
    [
        (Kind.GAP_BEGIN, Flag.TRADES, "gap of trades began"),
        (Kind.GAP_END, Flag.TRADES, "gap of trades ended, 3 lost"),
        (Kind.GAP_END, Flag.BOOK | Flag.LAST, "gap of book ended, 3 lost"),
        (Kind.STALE, Flag.BOOK, "book fell silent"),
        (Kind.STALE, Flag(0), "feed fell silent"),
        (Kind.ALIVE, Flag(0), "feed is heard again"),
    ],
)
def test_every_interruption_has_a_sentence(kind: Kind, flags: Flag, sentence: str) -> None:
    found = interruption(kind, flags)
    assert found is not None
    assert gap_in_words(GapSeen(0, 0, 0, *found, 3)) == sentence


def test_trouble_is_not_missed() -> None:
    """A gap, a refusal of the order itself and a silent stream are shown; a shadow's refusal is not."""
    instrument, events = run()
    so_far = until(events, 3)
    at_ns, seq = so_far[-1].at_ns, so_far[-1].seq
    refused = RiskRefused(at_ns, seq, "S-P1", 3, Side.BUY, 5, 100, "stale_book", "the book is 7 s old")
    trouble = [
        GapSeen(at_ns, seq, 0, "trades", True, 3),
        refused,
        replace(refused, parent_id="S-P1~twap", reason="only a shadow"),
    ]
    silent = replace(HEALTH, stale_now=["trades:0"], stale_ns=12 * NS_PER_S)
    text = live_text([*so_far, *trouble], instrument, silent)
    assert "gap of trades ended, 3 lost" in text
    assert "S-P1 refused by stale_book: the book is 7 s old" in text
    assert "only a shadow" not in text
    assert "silent 12.0 s in all, SILENT NOW: trades:0" in text


def test_what_the_venue_says_is_seen_once() -> None:
    """Rejects, questions after a timeout, a change of fees; no shadow's, no post-only order too late."""
    instrument, events = run()
    so_far = until(events, 3)
    child = next(e for e in so_far if isinstance(e, ChildChanged) and e.parent_id == "S-P1")
    rejected = replace(child, state=ChildState.REJECTED, reason="BTC/USDT is halted until 10:05")
    fees = "0.1 BNB do not cover the fee of 0.2 BNB: fees are charged in USDT from here on"
    said = [
        rejected,
        replace(rejected, parent_id="S-P1~twap", reason="only a shadow"),
        replace(rejected, reason="post-only order would have traded at once"),
        replace(child, state=ChildState.PENDING_NEW, reason="no answer within 2 s: the venue was asked"),
        replace(child, state=ChildState.PARTIALLY_FILLED, reason=fees),
        replace(child, state=ChildState.FILLED, reason=fees),
        replace(child, state=ChildState.EXPIRED, reason="no more was offered at its limit"),
    ]
    out = io.StringIO()
    view = PlainView(partial(print, file=out), now_ns=lambda: 0)
    view.open("S", [instrument], "embedded")
    view.add(so_far)
    before = len(out.getvalue().splitlines())
    view.add(said)
    assert out.getvalue().splitlines()[before:] == [
        f"{child.child_id} rejected by the venue: BTC/USDT is halted until 10:05",
        f"{child.child_id}: no answer within 2 s: the venue was asked",
        f"{child.child_id}: {fees}",
    ]


def test_a_late_decision_is_marked_and_its_features_are_shown() -> None:
    """An overrun says LATE; the features that weighed most follow the reason."""
    instrument, events = run()
    so_far = [
        replace(e, overrun=True, importances={"vwap": 0.5, "age": 0.1, "vol": 0.3, "ret": 0.2})
        if isinstance(e, DecisionTaken)
        else e
        for e in until(events, 0)
    ]
    text = live_text(so_far, instrument, HEALTH)
    assert "LATE nothing traded yet" in text
    assert "[vwap 50%, vol 30%, ret 20%]" in text


def test_what_would_turn_a_decision_is_said() -> None:
    """The nearest move of the price that alone turns it follows the reason; without one, nothing does."""
    instrument, events = run()
    decision = next(e for e in events if isinstance(e, DecisionTaken))
    words = decision_in_words(replace(decision, turns_at_bps=-3.14, importances={"vwap": 0.5}))
    assert words.endswith("; finishes if the price falls 3.1 bps [vwap 50%]")
    goes_on = replace(decision, finish=True, turns_at_bps=12.0)
    assert turning_clause(goes_on) == "; goes on if the price rises 12.0 bps"
    assert turning_clause(decision) == ""
    so_far = [
        replace(e, reason="", turns_at_bps=2.0) if isinstance(e, DecisionTaken) else e
        for e in until(events, 0)
    ]
    assert "; finishes if the price rises 2.0 bps" in live_text(so_far, instrument, HEALTH)


def test_the_live_view_draws_and_leaves_the_screen() -> None:
    """On a terminal the frame is drawn in place and erased at the end, for the summary to follow."""
    instrument, events = run()
    out = io.StringIO()
    console = Console(file=out, width=COLUMNS, height=40, force_terminal=True, color_system=None)
    with LiveView(console, now_ns=lambda: events[-1].at_ns) as view:
        view.open("S", [instrument], "embedded BTC/USDT")
        view.add(events)
        view.health(HEALTH)
    drawn = out.getvalue()
    assert "interval" in drawn
    assert drawn.rstrip().endswith("\x1b[2K")  # the last thing done is erasing a line


# --- plain ----------------------------------------------------------------------------------------


def test_plain_lines_tell_the_run() -> None:
    """One line a decision of the order itself, its states, and nothing of its shadows."""
    instrument, events = run()
    out = io.StringIO()
    view = PlainView(partial(print, file=out), now_ns=lambda: events[-1].at_ns)
    view.open("S", [instrument], "embedded BTC/USDT")
    view.add([replace(e, importances={"vwap": 0.5}) if isinstance(e, DecisionTaken) else e for e in events])
    lines = out.getvalue().splitlines()
    mine = [e for e in events if isinstance(e, DecisionTaken) and e.parent_id == "S-P1"]
    told = [line for line in lines if line.startswith("S-P1/")]
    assert len(told) == len(mine)
    assert all(line.endswith("[vwap 50%]") for line in told)
    assert [line for line in lines if "completed" in line] == ["S-P1 completed: filled"]
    assert not any("~" in line for line in lines)


def test_plain_progress_comes_every_so_often() -> None:
    """Health is called twice a second; how far the order is, and the feed, is said every ten seconds."""
    instrument, events = run()
    so_far = until(events, 4)
    out = io.StringIO()
    times = iter(range(so_far[-1].at_ns, so_far[-1].at_ns + 10**12, NS_PER_S // 2))
    now = [next(times)]
    view = PlainView(partial(print, file=out), now_ns=lambda: now[0])
    view.open("S", [instrument], "embedded BTC/USDT")
    view.add(so_far)
    before = len(out.getvalue().splitlines())
    for _ in range(41):
        view.health(HEALTH)
        now[0] = next(times)
    lines = out.getvalue().splitlines()[before:]
    assert len(lines) == 4
    assert lines[0].startswith("S-P1 working, ")
    assert "bps against vwap so far" in lines[0]
    assert lines[1].startswith("feed: 1,234 trades")


# --- the closing tables ---------------------------------------------------------------------------


def row(lines: Sequence[str], name: str) -> list[str]:
    """The cells after the label of the one line that starts with it."""
    (line,) = (line for line in lines if line.startswith(name))
    return line.removeprefix(name).split()


@pytest.mark.parametrize("cancel_after_s", [None, 12])
def test_the_printed_shortfall_sums_to_the_printed_total(cancel_after_s: int | None) -> None:
    """Delay, trading, opportunity and fees add up exactly as shown, also with a part left unfilled."""
    instrument, events = run("buy", cancel_after_s)
    lines = printed_summary(summary_of(instrument, events))
    parts = [Decimal(row(lines, f"shortfall {n}")[0]) for n in ("delay", "trading", "opportunity", "fees")]
    assert sum(parts) == Decimal(row(lines, "shortfall total")[0])
    assert (parts[2] != 0) is (cancel_after_s is not None)
    assert any(line.startswith("cancelled (" if cancel_after_s else "completed (") for line in lines)


def test_the_summary_fits_and_cuts_no_number() -> None:
    """Nothing is wider than 100 columns and no cell ends in an ellipsis."""
    lines = printed_summary(summary_of(*run()))
    assert max(len(line.rstrip()) for line in lines) <= COLUMNS
    assert not any("…" in line for line in lines)


def test_every_shadow_stands_beside_the_order_with_its_arrival_slippage() -> None:
    """The printed table is the summary's, every gain with its arrival slippage and the differences."""
    summary = summary_of(*run())
    lines = printed_summary(summary)
    (p,) = summary.parents()
    at = next(i for i, line in enumerate(lines) if line.startswith("bps"))
    table = lines[at:]
    names = ("gain_bps", "full_gain_bps", "arrival_slippage_bps")
    assert row(table, "optimal_stopping") == [*(bps(p[n]) for n in names), "completed"]
    differences = ("diff_gain_bps", "diff_full_bps", "diff_arrival_bps")
    for s in p["shadows"]:
        assert row(table, f"~{s['algo']}") == [*(bps(s[n]) for n in (*names, *differences)), "completed"]
    assert "one order is never evidence" in " ".join(table)


def test_without_a_cost_analysis_the_summary_says_why() -> None:
    """An order still working when the tape ends has none yet; one that saw no book never will."""
    instrument, events = run()
    working = "\n".join(printed_summary(summary_of(instrument, until(events, 3))))
    assert "working:" in working
    assert "no cost analysis: the order has not ended on this tape" in working
    accepted = next(e for e in events if isinstance(e, ParentChanged))
    blind = replace(accepted, ended_ns=accepted.at_ns, arrival_mid_half_ticks=None)
    assert any(
        "never saw a two-sided book" in line for line in printed_summary(summary_of(instrument, [blind]))
    )


def test_an_order_without_a_fill_is_all_opportunity() -> None:
    """A limit far from the market expires unfilled: dashes for what has no price, and a note saying so."""
    lines = printed_summary(summary_of(*run("buy", None, 1000)))
    assert any(line.startswith("expired (") for line in lines)
    assert row(lines, "average price")[:2] == ["–", "–"]
    assert row(lines, "shortfall total")[0] == row(lines, "shortfall opportunity")[0]
    assert any(line.startswith("note: ") and "nothing filled" in line for line in lines)


@pytest.mark.parametrize(
    ("match", "words"),
    [(True, "identical to the recorded run"), (False, "DIFFERENT from the recorded run: row [3]")],
)
def test_a_replay_says_whether_it_matched(match: bool, words: str) -> None:
    """Speed, both digests, the verdict with the row that differs, and what a crash lost."""
    result = ReplayResult(
        1_000_000, 0.5, "ab" * 32, "cd" * 32, match, None if match else "row [3]", ("12 bytes",)
    )
    console, out = text_console()
    render_replay(result, console)
    lines = out.getvalue().splitlines()
    assert lines[0] == "replayed 1,000,000 events in 0.50 s, 2,000,000 a second"
    assert lines[1:3] == ["digest   " + "ab" * 32, "recorded " + "cd" * 32]
    assert words in lines[3]
    assert lines[4] == "lost: 12 bytes"


def test_query_rows_are_shown_as_they_are() -> None:
    """Columns of numbers stand to the right, brackets are no markup, and long cells fold, uncut."""
    console, out = text_console()
    reason = "price above the benchmark [red 12%] " * 4
    rows_table(["id", "qty", "reason"], [["P1", "1.5", reason], ["P2", "10.25", ""]], console)
    lines = out.getvalue().splitlines()
    assert lines[1].index("1.5") + len("1.5") == lines[-1].index("10.25") + len("10.25")
    assert len({line.index(cell) for line, cell in ((lines[0], "reason"), (lines[1], "price"))}) == 1
    assert "".join(out.getvalue().split()).count("[red12%]") == 4
    assert max(len(line.rstrip()) for line in lines) <= COLUMNS


def test_a_number_on_faulty_data_has_its_mark() -> None:
    """Every number that is flagged and no other; the faults with their shares; a shadow's difference too."""
    instrument, events = run()
    hole, lost = {"gap": 0.125, "lost_trades": 0.0001}, {"gap": 0.5}
    flags = {"gain_bps": hole, "used_price": hole, "markout_10s_bps": lost}
    faulty = [
        replace(e, flags=flags, reasons={"reversion_bps": "the tape ends before"})
        if isinstance(e, SlippageMeasured) and e.shadow_of is None
        else e
        for e in events
    ]
    summary = summary_of(instrument, faulty)
    lines = printed_summary(summary)
    assert max(len(line.rstrip()) for line in lines) <= COLUMNS
    assert all(cell.endswith("!") for cell in row(lines, "vwap used")[:2])
    assert row(lines, "markout 10 s")[0].endswith("!")
    assert not any(cell.endswith("!") for name in ("vwap full", "average price") for cell in row(lines, name))
    text = " ".join(" ".join(lines).split())
    assert "window is faulty: gap 50.0% of it (markout 10s)" in text
    assert "window is faulty: gap 12.5%, lost trades <0.1% of it (all others marked)" in text
    assert "not known: reversion: the tape ends before" in text
    (p,) = summary.parents()
    assert p["flags"] == flags
    assert [s["flags"] for s in p["shadows"]] == [{"diff_gain_bps": hole}] * len(p["shadows"])
    assert row(lines[-9:], "~twap")[3].endswith("!")
    assert not any("…" in line for line in lines)


def test_shadows_of_a_working_order_have_every_key() -> None:
    """Null and not missing until both are measured, so that a reader of --json needs no two shapes."""
    instrument, events = run()
    working = summary_of(instrument, until(events, 3)).parents()[0]
    measured = summary_of(instrument, events).parents()[0]
    assert [s["algo"] for s in working["shadows"]] == ["twap", "pov"]
    assert [s.keys() for s in working["shadows"]] == [s.keys() for s in measured["shadows"]]
    for shadow in working["shadows"]:
        assert {key for key, value in shadow.items() if value is not None} == {"algo", "state"}
    one_is_late = [
        e for e in events if not (isinstance(e, SlippageMeasured) and e.shadow_of and e.algo == "pov")
    ]
    late = {s["algo"]: s["gain_bps"] for s in summary_of(instrument, one_is_late).parents()[0]["shadows"]}
    assert late["pov"] is None  # it is not left out
    assert late["twap"] is not None


def test_features_have_names_that_a_trader_knows() -> None:
    """In sentences; each feature its own, and none that is a name of ours."""
    labels = [feature_label(name) for name in FEATURE_NAMES]
    assert len(set(labels)) == len(labels)
    assert not [label for label in labels if "_" in label]
    assert forecast_label("momentum_8_8_ahead") == "8-bar momentum, 8 bars ahead"
    _, events = run()
    decision = next(e for e in events if isinstance(e, DecisionTaken))
    sentence = decision_in_words(replace(decision, importances={"book_call": 0.5, "momentum_2": 0.2}))
    assert sentence.endswith("[what book imbalance tells now 50%, 2-bar momentum 20%]")


def test_what_was_not_believed_is_told_beyond_a_trickle() -> None:
    """A few odd things are no news; more are, with their kinds."""
    few = FeedHealth(trades=10_000, malformed=3, bad_frames=1)
    assert health_in_words(few) == "10,000 trades, 0 gaps (0 trades filled in, 0 lost)"
    many = FeedHealth(trades=10_000, malformed=9, odd_ids=3, book_refused=1, impossible=4)
    assert refused_in_words(many) == "refused: 12 trades, 1 book level; 4 at impossible prices"
    assert health_in_words(many).endswith(f"0 lost), {refused_in_words(many)}")
    assert refused_in_words(FeedHealth(impossible=7)) == "7 at impossible prices"


@pytest.mark.parametrize(("kind", "word"), [(Kind.CLOCK_STEP, "slept"), (Kind.LOST_TIME, "stood still")])
def test_a_clock_that_steps_and_lost_time_have_a_sentence(kind: Kind, word: str) -> None:
    found = interruption(kind, Flag.TRADES | Flag.BOOK)
    assert found is not None
    assert found[1]  # its row is its end: what it is about is over
    assert found is not None
    assert word in gap_in_words(GapSeen(0, 0, 0, *found, 0))
