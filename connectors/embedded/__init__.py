"""A local exchange that speaks Binance spot's public protocol over TLS on loopback.

The unmodified ccxt client reaches it through a resolver (``loopback``) that maps every host to
127.0.0.1. Its market is a recorded session or a seeded synthetic one (``market``).
"""
