"""docs/feeds.md sentence by sentence: each has a test that shows it, and its numbers are the code's.

``PROVEN`` holds the page's sentences and rows in order, by their first words. A new sentence is given its
proof, and one that goes takes its line along. What says nothing that can be false has none.
"""

from __future__ import annotations

import re

from agent.core.ports import TRICKLE, TRICKLE_SHARE
from agent.core.types import NS_PER_S
from agent.runtime import STALLED_NS
from agent.venue.kernel.update_end import READ_LATE_NS
from connectors import ccxt_books, ccxt_feed, ccxt_trades
from connectors.access.ban import MOST_S, UNNAMED_S
from connectors.access.refusals import Refusal
from connectors.backfill import BackfillLimits
from connectors.ccxt_feed import FeedOptions
from connectors.continuity import id_jumps, impossible_prices, own_rate, stalls, stamp_order, stamp_watch
from tests.unit.docs.page_sentences import NOTHING, sentences, unproven

PAGE = "docs/feeds.md"
STREAMS, RUNS = "integration/test_stream_faults.py::", "integration/test_run_under_faults.py::"
FEED, REACHING = "integration/test_ccxt_feed.py::", "integration/test_reaching.py::"
UNIT, SPANS = "unit/connectors/test_", "unit/venue/test_spans.py::"
SEEN = "unit/terminal/test_terminal.py::test_what_was_not_believed_is_told_beyond_a_trickle"
REFUSED = UNIT + "refusals.py::test_a_run_bears_a_refusal_for_a_while"

PROVEN: tuple[tuple[str, str], ...] = (
    ("A stream of trades or books can stop", NOTHING),
    ("Each of these is either mended", SPANS + "test_a_span_flags_what_holds_some_of_it"),
    ("The counters are in the summary's", SEEN),
    ("| the connection breaks", FEED + "test_trades_reach_the_tape_exactly_once_across_a_disconnect"),
    (
        "| the subscription of trades",
        STREAMS + "test_a_lost_subscription_of_trades_is_noticed_while_the_book_goes_on",
    ),
    (
        "| the subscription of the book",
        STREAMS + "test_a_lost_subscription_of_the_book_is_noticed_while_trades_go_on",
    ),
    ("| no book comes", STREAMS + "test_a_quiet_book_keeps_its_connection_and_its_age"),
    ("| nothing trades", UNIT + "id_jumps.py::test_a_stream_is_looked_at_by_its_own_rate"),
    ("| an id jumps", UNIT + "trade_source.py::test_a_hole_inside_a_batch_is_marked_where_it_is"),
    ("| one id is wild", STREAMS + "test_a_wild_id_in_one_frame_costs_nothing"),
    ("| ids start again", STREAMS + "test_ids_that_start_again_lower_are_followed"),
    ("A hole is tried until", STREAMS + "test_a_hole_is_filled_when_rest_answers_again"),
    ("It is given up", UNIT + "backfill.py::test_what_rest_never_has_is_lost_after_bounded_attempts"),
    (
        "What the stream brings while REST",
        UNIT + "supervisor.py::test_what_comes_while_rest_is_asked_is_taken_at_once",
    ),
    (
        "Where ids have gaps of their own",
        UNIT + "trade_source.py::test_a_new_connection_is_a_gap_where_ids_have_gaps_of_their_own",
    ),
    ("The same id", UNIT + "id_jumps.py::test_a_known_id_with_another_stamp_is_another_trade"),
    (
        "Trades without an id",
        UNIT + "id_jumps.py::test_equal_trades_without_ids_are_as_many_as_were_told",
    ),
    ("The exchange's clock is looked at", STREAMS + "test_one_wild_answer_of_the_clock_is_no_step"),
    (
        "Two answers that cannot",
        UNIT + "stamps.py::test_a_step_is_proven_by_the_first_look_that_cannot_be_right",
    ),
    ("The answers before are", STREAMS + "test_a_step_of_the_clock_is_proven_and_marked"),
    ("One wild answer", STREAMS + "test_one_wild_answer_of_the_clock_is_no_step"),
    ("No message is sent after", NOTHING),
    ("A stamp more than two", STREAMS + "test_a_wild_stamp_in_one_frame_costs_nothing"),
    ("So is, where ids", UNIT + "stamps.py::test_a_trade_whose_stamp_cannot_be_waits_and_is_refused"),
    ("Where an exchange answers no", STREAMS + "test_without_a_clock_to_ask_stamps_bound_the_offset"),
    ("Where an exchange tells whole", UNIT + "stamps.py::test_a_clock_of_tenths_makes_no_step"),
    ("A frame that cannot be read", FEED + "test_an_unreadable_frame_heals_at_once"),
    ("A trade without a size", UNIT + "id_jumps.py::test_what_cannot_be_a_trade_is_refused_and_counted"),
    ("An error that the exchange", RUNS + "test_odd_frames_end_nothing"),
    ("All of it is counted", SEEN),
    ("`malformed`", SEEN),
    ("More than five", SEEN),
    ("A trade's price is", UNIT + "impossible_prices.py::test_the_worked_example"),
    ("Around it are", UNIT + "impossible_prices.py::test_the_worked_example"),
    (
        "A fall that walks",
        UNIT + "impossible_prices.py::test_a_fall_that_walks_through_the_book_passes",
    ),
    ("A market that has really", UNIT + "impossible_prices.py::test_a_market_that_has_moved_is_believed"),
    ("Such a trade is on", RUNS + "test_an_impossible_price_moves_no_number"),
    (
        "It moves no benchmark",
        UNIT + "impossible_prices.py::test_a_marked_trade_counts_for_nothing_and_flags_what_holds_it",
    ),
    ("The summary counts them", RUNS + "test_an_impossible_price_moves_no_number"),
    (
        "Files that are imported",
        "unit/importers/test_trades_alone.py::test_a_price_that_cannot_be_is_marked_and_makes_no_bar",
    ),
    ("A trade whose taker", UNIT + "impossible_prices.py::test_an_unknown_taker_counts_half_in_shares"),
    (
        "A book is as old as",
        UNIT + "normalise.py::test_a_snapshot_is_framed_and_a_still_book_restates_its_touch",
    ),
    ("One that was read", SPANS + "test_a_book_read_late_is_as_old_as_its_stamp"),
    (
        "Without a stamp",
        UNIT + "book_source.py::test_a_book_without_a_stamp_is_as_old_as_what_is_read_after_a_stall_may_be",
    ),
    ("The clock of a run", "unit/core/test_system_clock.py::"),
    ("A run that did nothing", RUNS + "test_a_loop_that_stood_still_trades_on_nothing_it_did_not_see"),
    ("No order goes out", SPANS + "test_no_order_goes_out_unseen"),
    ("`HTTPS_PROXY`", REACHING + "test_the_environment_s_proxy_and_authorities_hold"),
    ("The section `ccxt`", REACHING + "test_requests_and_streams_go_through_a_configured_proxy"),
    ("A proxy's password", REACHING + "test_a_recording_through_a_proxy_tells_nobody_its_password"),
    ("Credentials of an exchange", REACHING + "test_credentials_are_refused_and_not_shown"),
    ("Once REST answers", STREAMS + "test_during_a_ban_nothing_is_asked_and_nothing_lost"),
    ("The streams go on", STREAMS + "test_during_a_ban_nothing_is_asked_and_nothing_lost"),
    ("A refusal is told", REACHING + "test_an_exchange_that_does_not_serve_us_is_told_at_once"),
    ("| the place", REFUSED),
    ("| this address", REFUSED),
    ("| maintenance", REFUSED),
    ("| the proxy refuses", REACHING + "test_a_proxy_s_faults_are_one_sentence_each"),
    ("| a certificate", REFUSED),
)


def test_every_sentence_has_its_proof() -> None:
    """In order, and each test named is there."""
    assert unproven(PAGE, PROVEN) == []


def test_the_numbers_are_the_code_s() -> None:
    """As words or digits in the sentences that state them."""
    said = {words: sentence for sentence, (words, _) in zip(sentences(PAGE), PROVEN, strict=True)}
    limits = BackfillLimits()
    held = {
        "| the subscription of trades": (own_rate.EXPECTED, own_rate.FLOOR_S, ccxt_trades.CONFIRM_S),
        "| the subscription of the book": (own_rate.EXPECTED, ccxt_books.CONFIRM_S),
        "| no book comes": (ccxt_books.SAME_LEVELS,),
        "| ids start again": (id_jumps.RUN,),
        "A hole is tried until": (limits.most_wait_s,),
        "It is given up": (limits.attempts, limits.deadline_s),
        "The exchange's clock is looked at": (FeedOptions().clock_every_s,),
        "A stamp more than two": (stamp_watch.AHEAD_NS / NS_PER_S, stamp_watch.RUN, stamp_order.RUN),
        "So is, where ids": (stamp_order.BACK_MS / 60_000,),
        "Where an exchange answers no": (stamp_watch.LEARNED, stamp_watch.LEARN_NS / NS_PER_S),
        "A trade without a size": (ccxt_books.CROSSED_MOST,),
        "An error that the exchange": (ccxt_feed._REFUSALS,),
        "More than five": (TRICKLE, round(1 / TRICKLE_SHARE)),
        "A trade's price is": (impossible_prices.NEAR_TICKS,),
        "Around it are": (impossible_prices.REMEMBERED,),
        "A market that has really": (impossible_prices.MOVED, impossible_prices.MOVED_BY_BOOK),
        "One that was read": (READ_LATE_NS / NS_PER_S,),
        "Without a stamp": (stalls.STOOD_NS / NS_PER_S, stalls.READ_NS / NS_PER_S),
        "A run that did nothing": (STALLED_NS / NS_PER_S,),
        "Once REST answers": (UNNAMED_S, MOST_S / 60),
        "| the place": (Refusal.LOCATION.borne_s,),
        "| this address": (Refusal.BANNED.borne_s,),
        "| maintenance": (Refusal.MAINTENANCE.borne_s,),
        "| the proxy refuses": (Refusal.PROXY.borne_s,),
        "| a certificate": (Refusal.CERTIFICATE.borne_s,),
    }
    missing = [
        (words, number)
        for words, numbers in held.items()
        for number in numbers
        if not any(re.search(rf"\b{word}\b", said[words]) for word in _words(number))
    ]
    assert missing == []


def _words(number: float) -> tuple[str, ...]:
    """How a number may be written."""
    names = {
        1: ("second", "minute", "1", "a second", "one"),
        2: ("two", "2"),
        3: ("three",),
        5: ("five",),
        6: ("six",),
        10: ("ten", "10"),
        20: ("twenty", "20"),
        50: ("fifty",),
        1000: ("thousandth",),
    }
    return names.get(number, (f"{number:g}",)) if number in names else (f"{number:g}",)
