"""Sessions as others see them: heartbeats, who lives, commands and their answers. Rows in, rows out."""
