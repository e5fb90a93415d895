"""A database as a whole: copied into another, and compared row by row."""
