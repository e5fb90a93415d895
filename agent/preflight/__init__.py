"""What is known of an order before its first child: whether it can be worked at all, and how it may go.

Pure judgements of an order, an instrument, limits and facts. No I/O, no engine: who starts orders asks here.
"""
