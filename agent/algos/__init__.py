"""Schedules: pure functions of an order, its market and the time to a slice. No state, no I/O, no model."""
