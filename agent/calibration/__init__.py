"""What a tape tells about impact, volatility, spread and latencies."""
