"""Exact optima, how they are computed, and what a policy gives up of them."""
