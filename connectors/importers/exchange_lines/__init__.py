"""Lines of JSON as Bybit, OKX and Hyperliquid send or publish them: order book archives and raw captures."""
