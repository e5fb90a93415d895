"""What lets a run be left alone for weeks: who is told of what, that it lives, its disk, its old sessions.

Nothing here is in an order's way: what waits for the outside does so in a task or thread of its own.
"""
