"""docs/sessions.md sentence by sentence: each has a test that shows it, and its numbers are the code's.

``PROVEN`` holds the page's sentences and rows in order, by their first words, each with its tests. What has
no test elsewhere is shown beside this file: in ``test_kept_sessions.py``, ``test_cut_sessions.py`` and
``test_foreign_files.py``. What was measured once, by a benchmark of minutes, is not measured again.
"""

from __future__ import annotations

import re

import numpy as np

from agent.core.types import NS_PER_S
from agent.venue.kernel.state import new_state
from agent.venue.kernel.update_end import READ_LATE_NS
from storage.recordings.inspection import SAMPLES
from storage.recordings.parquet import GROUP_ROWS
from tests.unit.docs.page_sentences import NOTHING, sentences, unproven
from tests.unit.docs.test_docs import ROOT

PAGE = "docs/sessions.md"
MEASURED = NOTHING
"""By the benchmark that the page names beside it: seconds and megabytes of one machine."""
TOOLS, SLICES = "integration/test_session_tools.py::", "property/test_slices.py::"
COMPACT, FORGET = "unit/storage/test_compaction.py::", "unit/engine/test_forgetting.py::"
STORED, DIED = "unit/storage/test_session.py::", "integration/test_control.py::"
FILES, LINES = "unit/importers/test_import_formats.py::", "unit/importers/test_exchange_lines.py::"
BARS, TRADES = "unit/importers/test_bar_files_of_others.py::", "unit/importers/test_trades_alone.py::"
TOPS, KLINES = "unit/importers/test_tardis_tops.py::", "unit/importers/test_import_klines.py::"
KEPT, CUT = "unit/docs/test_kept_sessions.py::", "unit/docs/test_cut_sessions.py::"
FOREIGN = "unit/docs/test_foreign_files.py::"

PROVEN: tuple[tuple[str, ...], ...] = (
    ("A session is a directory", KEPT + "test_a_session_is_its_files"),
    ("`session.json`, segments", KEPT + "test_a_session_is_its_files"),
    ("It is the truth", NOTHING),
    (
        "| `agent sessions list",
        KEPT + "test_a_list_says_how_each_session_stands",
        KEPT + "test_a_flipped_byte_shows_only_when_rows_are_read",
        TOOLS + "test_list_and_inspect_say_what_is_there",
    ),
    (
        "| `agent sessions inspect",
        TOOLS + "test_list_and_inspect_say_what_is_there",
        KEPT + "test_an_inspected_session_of_bars",
        KEPT + "test_a_page_shades_its_gaps",
    ),
    ("A session is *whole*", KEPT + "test_a_list_says_how_each_session_stands"),
    ("It is *cut off*", KEPT + "test_a_list_says_how_each_session_stands"),
    (
        "Its whole prefix",
        STORED + "test_killed_writer_loses_nothing",
        STORED + "test_truncated_segment_is_read_to_its_last_whole_batch",
    ),
    ("`agent replay SESSION --verify`", DIED + "test_kill_reaches_all_that_live_and_names_the_dead"),
    ("`agent sessions end", DIED + "test_kill_reaches_all_that_live_and_names_the_dead"),
    ("It is *damaged*", TOOLS + "test_damage_is_said_and_what_is_left_can_be_saved"),
    ("It is *unreadable*", KEPT + "test_a_list_says_how_each_session_stands"),
    ("Exit code 1", KEPT + "test_a_list_says_how_each_session_stands"),
    ("Spreads and mids", KEPT + "test_spreads_and_mids_are_even_samples"),
    ("`agent sessions slice", SLICES + "test_a_slice_ends_with_the_same_book"),
    ("Times are ISO 8601", CUT + "test_a_cut_is_named_by_times_or_durations"),
    ("Rows stay as they were", SLICES + "test_a_slice_ends_with_the_same_book"),
    (
        "Before them come rows",
        SLICES + "test_a_slice_ends_with_the_same_book",
        CUT + "test_history_keeps_its_times_before_what_is_carried",
        TOOLS + "test_a_slice_replays_alone_and_two_merge_to_the_whole",
    ),
    ("With `--history`", CUT + "test_history_keeps_its_times_before_what_is_carried"),
    (
        "All rows of one exchange",
        CUT + "test_an_update_is_received_at_one_moment",
        FOREIGN + "test_an_imported_update_is_received_at_one_moment",
    ),
    (
        "Instruments (numbered",
        CUT + "test_what_a_slice_takes_along",
        SLICES + "test_symbols_part_and_meet_again",
    ),
    ("Orders are left out", CUT + "test_what_a_slice_takes_along"),
    ("Until its next update", CUT + "test_the_age_of_a_carried_book"),
    ("`agent sessions merge", TOOLS + "test_a_slice_replays_alone_and_two_merge_to_the_whole"),
    ("The order is", SLICES + "test_streams_merge_in_order_of_time"),
    (
        "The same symbol",
        SLICES + "test_slices_merge_to_the_original",
        CUT + "test_another_precision_is_another_instrument",
    ),
    (
        "A symbol may be",
        CUT + "test_overlap_is_refused_with_both_times",
        TOOLS + "test_a_merge_names_what_is_missing_between",
    ),
    ("Slices of one session", TOOLS + "test_a_slice_replays_alone_and_two_merge_to_the_whole"),
    ("Anywhere else", CUT + "test_fills_near_a_joint_are_marked"),
    (
        "What can be read of a damaged",
        TOOLS + "test_damage_is_said_and_what_is_left_can_be_saved",
        CUT + "test_what_is_left_of_a_damaged_session_is_joined",
    ),
    ("`agent sessions slice BROKEN", TOOLS + "test_damage_is_said_and_what_is_left_can_be_saved"),
    (
        "A new session is made",
        CUT + "test_a_new_session_appears_whole",
        TOOLS + "test_a_full_disk_leaves_nothing_behind",
    ),
    (
        "`agent sessions compact",
        KEPT + "test_what_a_compacted_segment_is",
        COMPACT + "test_row_groups_say_when",
    ),
    ("Every file is read back", COMPACT + "test_a_file_that_lacks_its_last_rows_replaces_nothing"),
    (
        "A kill at any moment",
        COMPACT + "test_killed_at_any_moment_every_row_is_there",
        COMPACT + "test_both_files_of_a_segment_are_one",
    ),
    (
        "Readers take both",
        KEPT + "test_a_session_half_compacted_replays_the_same",
        TOOLS + "test_compacted_sessions_replay_the_same",
    ),
    ("Sessions that were not closed", COMPACT + "test_open_and_damaged_sessions_are_left_alone"),
    ("| Binance spot capture, BTC", KEPT + "test_the_captures_are_of_the_sizes_stated"),
    ("| Binance spot capture, ETH", KEPT + "test_the_captures_are_of_the_sizes_stated"),
    ("| synthetic hour", MEASURED),
    ("`python benchmarks/bench_session.py", MEASURED),
    ("Delta encoding", KEPT + "test_the_captures_are_of_the_sizes_stated"),
    ("Row groups of", KEPT + "test_the_captures_are_of_the_sizes_stated"),
    ("A replay holds", FORGET + "test_forgetting_changes_nothing_but_memory"),
    ("Segments are read in pieces", STORED + "test_batches_do_not_depend_on_how_the_tape_was_written"),
    (
        "Once the last command",
        FORGET + "test_forgetting_changes_nothing_but_memory",
        FORGET + "test_a_command_after_the_last_is_refused",
    ),
    ("Results are the same", FORGET + "test_forgetting_changes_nothing_but_memory"),
    ("Until the last command", FORGET + "test_forgetting_changes_nothing_but_memory"),
    ("| 1 hour", MEASURED),
    ("| the same, compacted", MEASURED),
    ("| 3 hours", MEASURED),
    ("About 200 MB", MEASURED),
    ("The machine ran other jobs", NOTHING),
    ("`agent import FILE...`", TRADES + "test_a_file_is_looked_at"),
    (
        "What it does not understand",
        TRADES + "test_what_no_format_reads_is_named",
        "unit/importers/test_unreadable_files.py::test_what_cannot_be_told_apart_is_refused",
    ),
    (
        "| `binance-raw`",
        FILES + "test_receive_stamps_of_every_unit",
        FILES + "test_streams_of_their_own",
        FILES + "test_binance_capture_row_by_row",
        FILES + "test_partial_books_are_snapshots",
        FILES + "test_book_tickers_of_futures_are_stamped",
    ),
    (
        "| `bybit-raw`",
        LINES + "test_a_capture_of_bybit",
        LINES + "test_a_capture_of_hyperliquid",
    ),
    (
        "| `book-archive`",
        LINES + "test_an_archive_is_a_book_at_the_exchange_times",
        LINES + "test_a_book_and_its_trades_are_one_session",
        FOREIGN + "test_okx_books_and_trades",
    ),
    (
        "| `tardis-csv`",
        FILES + "test_tardis_row_by_row",
        TOPS + "test_quotes_are_books_of_one_level",
        TOPS + "test_snapshots_hold_all_their_levels",
        FILES + "test_a_grouped_file_gives_the_rows_of_its_symbol",
    ),
    (
        "| `klines`",
        BARS + "test_the_same_bars_in_every_form",
        FOREIGN + "test_every_kind_of_file_in_every_packing",
        BARS + "test_a_vwap_in_the_file_is_the_price",
    ),
    (
        "| `trades`",
        TRADES + "test_trades_are_the_tape",
        FOREIGN + "test_okx_books_and_trades",
        FOREIGN + "test_every_kind_of_file_in_every_packing",
    ),
    ("Each file may be", FOREIGN + "test_every_kind_of_file_in_every_packing"),
    ("Times are read by their size", FOREIGN + "test_times_are_read_by_their_size"),
    (
        "A market that closes",
        KLINES + "test_a_market_that_closes_needs_its_calendar",
        BARS + "test_bars_stamped_at_their_end_are_recognised",
        BARS + "test_ends_are_taken_at_the_word_of_the_user",
    ),
    (
        "Trades alone",
        TRADES + "test_an_order_trades_on_them_and_says_how",
        TRADES + "test_fills_are_at_the_price_of_the_trades_half_a_spread_worse",
    ),
    (
        "An archive was never received",
        LINES + "test_an_archive_is_a_book_at_the_exchange_times",
        TRADES + "test_trades_are_the_tape",
        FOREIGN + "test_no_latency_is_measured_on_an_archive",
    ),
    (
        "Bybit's updates are numbered",
        LINES + "test_a_hole_of_numbered_updates_is_a_gap_until_the_next_snapshot",
        FOREIGN + "test_a_loss_inside_an_archive_of_okx_is_not_seen",
    ),
    ("Nor is a lost connection", FOREIGN + "test_a_lost_connection_is_not_seen_in_whole_books"),
    ("The layouts of", NOTHING),
)


def test_every_sentence_has_its_proof() -> None:
    """In order, and each test named is there."""
    for at in range(max(len(proofs) for _, *proofs in PROVEN)):
        assert unproven(PAGE, [(words, proofs[at % len(proofs)]) for words, *proofs in PROVEN]) == []


def test_the_numbers_are_the_code_s() -> None:
    """As digits or words in the sentences that state them."""
    said = {words: sentence for sentence, (words, *_) in zip(sentences(PAGE), PROVEN, strict=True)}
    held = {
        "Spreads and mids": f"{SAMPLES}",
        "`agent sessions compact": f"{GROUP_ROWS:,}",
        "Until its next update": {NS_PER_S: "a second"}[READ_LATE_NS],
        "Until the last command": f"{_bytes_of_a_trade()} bytes",
    }
    assert [words for words, number in held.items() if not re.search(rf"\b{number}\b", said[words])] == []


def _bytes_of_a_trade() -> int:
    """What the market's state keeps of a trade and of a step of the mid."""
    state = new_state(1)
    columns = (state.trade_ns, state.trade_ticks, state.trade_lots, state.trade_side)
    return sum(np.asarray(column).itemsize for column in (*columns, state.mid_ns, state.mid_half_ticks))


def test_the_benchmarks_named_are_there() -> None:
    """Whoever doubts a measured row can measure it again."""
    named = set(re.findall(r"python (benchmarks/\w+\.py)", (ROOT / PAGE).read_text()))
    assert named == {"benchmarks/bench_session.py", "benchmarks/bench_memory.py"}
    assert [name for name in named if not (ROOT / name).is_file()] == []
