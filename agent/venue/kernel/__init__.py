"""The compiled book and queue: its state, the loop over the tape, and the market that calls it."""
