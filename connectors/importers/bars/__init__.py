"""Files of bars: klines and shares."""
