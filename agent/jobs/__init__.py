"""What the wall clock starts around the engine: parent orders by ``schedules:``, rotation, a heartbeat.

Only what happens beside an order belongs here. Intervals inside an order are the engine's own.
"""
