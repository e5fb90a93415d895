"""The one HTML kit: the shell around a page, escaped markup, plots. Nothing of what a page says."""
