"""One session of a live run: what it shows, what starts in it, how it is recorded and comes to its end."""
