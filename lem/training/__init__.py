"""Training runs: batches, workers, state on disk, ablations."""
