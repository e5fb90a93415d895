"""Exact optima of an order, and what a policy gives up of them. No model, no bars from files."""
