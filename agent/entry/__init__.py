"""What surrounds a command of either program: its streams, its errors as messages, its exit code. No command."""
