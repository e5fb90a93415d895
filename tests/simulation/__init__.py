"""Whole agents in virtual time: the real client, feed, engine, venue, recording and log, on seeds.

Only what stands under them is simulated: the event loop with its clock and network (``virtual_loop``), the
disk (``simulated_disk``) and the thread of SQLite's driver (``inline_sqlite``). ``docs/simulation.md`` says
what a seed decides and what must hold.
"""
