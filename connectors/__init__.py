"""Data from outside: the live feed through ccxt, the embedded exchange, importers of files."""
