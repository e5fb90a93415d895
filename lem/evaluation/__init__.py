"""A model on the same paths as rules and exact optima: orders, outcomes, statistics, and their document.

Computes only: what prints or draws the document lives in ``lem.cli`` and ``lem.page``.
"""
