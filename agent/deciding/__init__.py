"""How a live run gets its decisions from a thread. No algo lives here, and nothing that a replay needs."""
