"""What a person sees: the live view of a run, and the tables that close it."""

from agent.terminal.closing_tables import render_summary, replay_table, rows_table
from agent.terminal.run_view import LiveView, PlainView

__all__ = ["LiveView", "PlainView", "render_summary", "replay_table", "rows_table"]
