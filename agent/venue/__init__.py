"""Venues on paper: what an exchange would have done with our orders, and the engine's half of a venue outside."""
