"""The configuration as a file that people write: made with comments, and every fault with its line.

What the keys are stands in ``agent.config`` alone; nothing here lists them again.
"""
