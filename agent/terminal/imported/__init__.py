"""What an import made, and what was wrong with its files."""
