"""What lets a process go on with a recording that another began: its lock, its end, what a power cut took."""
