"""The core: what a market, an order and a measure are. Pure; nothing here waits, logs, reads a clock or a file."""
