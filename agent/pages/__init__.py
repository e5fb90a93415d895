"""The one HTML kit: the shell, plots, tables and cited numbers. Nothing here knows what a page says."""
