"""What a run stands on: its clocks, feed, threads and signals. Nothing here knows orders or sessions."""
