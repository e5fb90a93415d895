"""The Large Execution Model: network, bars, exact optima, training, evaluation, and what runs in an order.

Each folder says what may live in it; ``docs/architecture.md`` draws how they depend on each other.
"""
