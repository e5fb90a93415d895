"""What surrounds a command of either program: streams, errors as messages, exit codes. No command."""
