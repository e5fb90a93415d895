"""What a person sees: live views of a run, tables that close it, and the sentences and numbers in them.

Only what is shown belongs here, made of events and documents. Nothing here reads a file, a market or a clock.
"""
