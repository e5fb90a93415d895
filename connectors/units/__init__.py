"""What an exchange's numbers mean: facts by exchange, and price steps. No requests, no clocks."""
