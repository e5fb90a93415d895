"""How orders and reports travel: latencies, whose turn it is, and trouble that is rehearsed."""
