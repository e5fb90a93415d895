"""What is done to databases and recordings when no order works."""
