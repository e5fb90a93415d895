"""The embedded exchange's order side: signed requests, orders, matching, its own ledger, the user stream.

What belongs here is what an exchange does and knows, never what the agent thinks of it: its ledger
(``exchange_orders``, ``balances``) is what routed orders are judged by.
"""
