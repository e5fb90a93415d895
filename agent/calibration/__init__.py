"""Estimates from a recorded session: impact, volatility, spread, latencies; and the files that hold them.

Only what is learnt from sessions to set the paper venue belongs here; what is printed of it does not.
"""
