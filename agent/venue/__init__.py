"""Venues on paper, as an exchange would have done; and the engine's half of a venue outside."""
