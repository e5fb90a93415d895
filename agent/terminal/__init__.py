"""What a person sees: the live view of a run, and the tables that close it."""

from agent.terminal.live import LiveView, PlainView
from agent.terminal.tables import render_summary, replay_table, rows_table

__all__ = ["LiveView", "PlainView", "render_summary", "replay_table", "rows_table"]
