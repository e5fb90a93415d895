"""What is kept: recorded sessions, and the execution log."""
