"""The agent: what asks, decides, works, records and shows an order, and what people see of it."""

VERSION = "0.2.0"
"""In the fingerprint of every session: its rules decide what a replay gives."""
