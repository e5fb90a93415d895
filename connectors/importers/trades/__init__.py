"""Files of trades alone: no book, so a session of the bars that they make."""
