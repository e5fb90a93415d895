"""CSV files of Tardis."""
