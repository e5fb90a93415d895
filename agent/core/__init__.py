"""The core: what a market, an order and a measure are. Pure: no waiting, no logs, no clocks, no files."""
