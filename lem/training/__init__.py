"""Training runs: batches, worker processes, state on disk, ablations. Not what runs in an order.

Weights depend on the settings and the seed only, not on processes, interruptions or what is logged.
"""
